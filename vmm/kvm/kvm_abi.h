// <linux/kvm.h> with the layout the kernel has. Include this, never the original.
//
// The header declares flexible arrays through a macro that puts an empty struct in front of them. In C that has no size; in
// C++ it has one byte, which moves the arrays and, through sizeof, changes the ioctl numbers. The macro is replaced first.
#pragma once

#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[0]  // NOLINT(bugprone-reserved-identifier): the kernel's name
#include <linux/kvm.h>

static_assert(sizeof(kvm_msrs) == 8 && sizeof(kvm_msr_list) == 4 && sizeof(kvm_cpuid2) == 8 && sizeof(kvm_irq_routing) == 8,
              "include vmm/kvm/kvm_abi.h before anything that includes <linux/kvm.h>");
