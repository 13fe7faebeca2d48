// The saved state of one vCPU: opaque blobs in KVM's own layouts (they are kernel ABI), and MSRs by index.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct SavedMsr {
  uint32_t index = 0;
  uint64_t value = 0;
  friend bool operator==(const SavedMsr&, const SavedMsr&) = default;
};

struct VcpuState {
  std::vector<uint8_t> regs;    // struct kvm_regs
  std::vector<uint8_t> sregs;   // struct kvm_sregs
  std::vector<uint8_t> xsave;   // struct kvm_xsave, or its larger form
  std::vector<uint8_t> fpu;     // struct kvm_fpu, only where the host has no XSAVE
  std::vector<uint8_t> xcrs;    // struct kvm_xcrs
  std::vector<uint8_t> debug;   // struct kvm_debugregs
  std::vector<uint8_t> events;  // struct kvm_vcpu_events
  std::vector<uint8_t> lapic;   // struct kvm_lapic_state
  std::vector<uint8_t> nested;  // struct kvm_nested_state, empty: none
  uint32_t mp_state = 0;
  uint64_t tsc_khz = 0;
  std::vector<SavedMsr> msrs;
  friend bool operator==(const VcpuState&, const VcpuState&) = default;
};

template <>
struct Schema<SavedMsr> {
  static constexpr std::string_view name = "msr";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "index", &SavedMsr::index), field(2, "value", &SavedMsr::value)};
};

template <>
struct Schema<VcpuState> {
  static constexpr std::string_view name = "vcpu";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "regs", &VcpuState::regs),       field(2, "sregs", &VcpuState::sregs),
                 field(3, "xsave", &VcpuState::xsave),     field(4, "xcrs", &VcpuState::xcrs),
                 field(5, "debug", &VcpuState::debug),     field(6, "events", &VcpuState::events),
                 field(7, "lapic", &VcpuState::lapic),     field(8, "mp-state", &VcpuState::mp_state),
                 field(9, "tsc-khz", &VcpuState::tsc_khz), field(10, "msrs", &VcpuState::msrs),
                 field(11, "fpu", &VcpuState::fpu),        field(12, "nested", &VcpuState::nested)};
};

}  // namespace lodge
