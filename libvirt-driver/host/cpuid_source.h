// CPUID and feature MSRs: of the processor itself, and of what KVM can show to a guest.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/host/paths.h"

namespace lodge {

struct CpuidLeaf {
  uint32_t leaf = 0;
  uint32_t subleaf = 0;
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

struct CpuMsr {
  uint32_t index = 0;
  uint64_t value = 0;
};

struct CpuidData {
  std::vector<CpuidLeaf> leaves;
  std::vector<CpuMsr> msrs;
  uint64_t tsc_hz = 0;       // 0: not known
  bool tsc_scaling = false;  // guests may be given another frequency

  [[nodiscard]] const CpuidLeaf* find(uint32_t leaf, uint32_t subleaf = 0) const;
};

// Gives the data, or why it cannot be had. May be called from any thread.
using CpuidSource = std::function<Answer<CpuidData>()>;

// The processor that this runs on, by the CPUID instruction.
[[nodiscard]] Answer<CpuidData> processor_cpuid();

// What KVM supports, and what the monitor adds to it (x2APIC, TSC deadline timer, hypervisor bit). Asks paths.kvm at the
// first call that succeeds and remembers the answer. The returned function may be copied; copies share the answer.
[[nodiscard]] CpuidSource kvm_cpuid(const HostPaths& paths);

}  // namespace lodge
