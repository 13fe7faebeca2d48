// The saved state of what KVM emulates for the whole machine: 8259s, IOAPIC, 8254, kvm-clock. Blobs in the kernel's layouts.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "base/state/schema.h"
#include "vmm/kvm/vm.h"

namespace lodge {

struct IrqchipState {
  std::vector<uint8_t> pic_master;  // struct kvm_irqchip each
  std::vector<uint8_t> pic_slave;
  std::vector<uint8_t> ioapic;
  std::vector<uint8_t> pit;  // struct kvm_pit_state2; empty: none
  uint64_t clock = 0;        // kvm-clock, nanoseconds
  friend bool operator==(const IrqchipState&, const IrqchipState&) = default;
};

template <>
struct Schema<IrqchipState> {
  using S = IrqchipState;
  static constexpr std::string_view name = "irqchip";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "pic-master", &S::pic_master), field(2, "pic-slave", &S::pic_slave),
                 field(3, "ioapic", &S::ioapic), field(4, "pit", &S::pit), field(5, "clock", &S::clock)};
};

// On control, with all vCPUs parked.
[[nodiscard]] Result<IrqchipState> save_irqchip(const KvmVm& vm);
[[nodiscard]] Result<void> load_irqchip(const KvmVm& vm, const IrqchipState& state, bool with_clock);

}  // namespace lodge
