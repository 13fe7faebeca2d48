// What a configuration leaves open, chosen: ids of disks and NICs, PCI slots, MAC addresses. The completed configuration
// means the same machine wherever it is read and whatever was added to it or taken from it before. Pure, any thread.
#pragma once

#include "base/result.h"
#include "vmm/config/machine_config.h"

namespace lodge {

inline constexpr uint32_t kPciSlots = 32;  // slot 0 is the host bridge
inline constexpr uint32_t kFloppyPlaces = 2;
inline constexpr uint32_t kIdePlaces = 4;      // two channels with two units
inline constexpr uint32_t kPcChipsetSlot = 1;  // pc: the ISA bridge and power management
inline constexpr uint32_t kUhciFunction = 2;   // of that slot
// Where the USB controller is, once the configuration is complete.
[[nodiscard]] inline uint32_t usb_slot(const UsbSettings& usb) {
  return usb.model == UsbModel::piix3_uhci ? kPcChipsetSlot : usb.slot;
}

// The first slot that devices of the configuration may have.
[[nodiscard]] constexpr uint32_t first_free_slot(MachineKind machine) {
  return machine == MachineKind::pc ? kPcChipsetSlot + 1 : 1;
}

// What stands in the configuration stays. Errors name the devices: an id or a slot that is asked for twice, a slot that the
// chipset has, none left.
[[nodiscard]] Result<void> complete(MachineConfig& config);

}  // namespace lodge
