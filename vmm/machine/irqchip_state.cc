#include "vmm/machine/irqchip_state.h"

#include <sys/ioctl.h>

#include "vmm/kvm/blob.h"

namespace lodge {
namespace {

Result<std::vector<uint8_t>> save_chip(const KvmVm& vm, uint32_t id) {
  kvm_irqchip chip{};
  chip.chip_id = id;
  if (kvm_ioctl(vm.get(), KVM_GET_IRQCHIP, &chip) < 0) {
    return fail_errno(errno, "read interrupt controller {}", id);
  }
  return to_blob(chip);
}

Result<void> load_chip(const KvmVm& vm, uint32_t id, const std::vector<uint8_t>& blob) {
  auto chip = TRY(from_blob<kvm_irqchip>(blob, "interrupt controller"));
  chip.chip_id = id;
  if (kvm_ioctl(vm.get(), KVM_SET_IRQCHIP, &chip) < 0) {
    return fail_errno(errno, "set interrupt controller {}", id);
  }
  return {};
}

}  // namespace

Result<IrqchipState> save_irqchip(const KvmVm& vm) {
  IrqchipState state;
  state.pic_master = TRY(save_chip(vm, KVM_IRQCHIP_PIC_MASTER));
  state.pic_slave = TRY(save_chip(vm, KVM_IRQCHIP_PIC_SLAVE));
  state.ioapic = TRY(save_chip(vm, KVM_IRQCHIP_IOAPIC));
  if (vm.options().pit) {
    kvm_pit_state2 pit{};
    if (kvm_ioctl(vm.get(), KVM_GET_PIT2, &pit) < 0) {
      return fail_errno(errno, "read the 8254 timer");
    }
    state.pit = to_blob(pit);
  }
  kvm_clock_data clock{};
  if (kvm_ioctl(vm.get(), KVM_GET_CLOCK, &clock) < 0) {
    return fail_errno(errno, "read kvm-clock");
  }
  state.clock = clock.clock;
  return state;
}

Result<void> load_irqchip(const KvmVm& vm, const IrqchipState& state, bool with_clock) {
  TRY_VOID(load_chip(vm, KVM_IRQCHIP_PIC_MASTER, state.pic_master));
  TRY_VOID(load_chip(vm, KVM_IRQCHIP_PIC_SLAVE, state.pic_slave));
  TRY_VOID(load_chip(vm, KVM_IRQCHIP_IOAPIC, state.ioapic));
  if (vm.options().pit) {
    auto pit = TRY(from_blob<kvm_pit_state2>(state.pit, "8254 timer"));
    if (kvm_ioctl(vm.get(), KVM_SET_PIT2, &pit) < 0) {
      return fail_errno(errno, "set the 8254 timer");
    }
  }
  if (with_clock) {
    kvm_clock_data clock{};
    clock.clock = state.clock;
    if (kvm_ioctl(vm.get(), KVM_SET_CLOCK, &clock) < 0) {
      return fail_errno(errno, "set kvm-clock");
    }
  }
  return {};
}

}  // namespace lodge
