// What a configuration leaves open, chosen: ids of disks and NICs, PCI slots, MAC addresses. The completed configuration
// means the same machine wherever it is read and whatever was added to it or taken from it before. Pure, any thread.
#pragma once

#include "base/result.h"
#include "vmm/config/machine_config.h"

namespace lodge {

inline constexpr uint32_t kPciSlots = 32;      // slot 0 is the host bridge
inline constexpr uint32_t kPcChipsetSlot = 1;  // pc: the ISA bridge and power management

// What stands in the configuration stays. Errors: a slot that is asked for twice, that the chipset has, or none is left; the
// devices are named.
[[nodiscard]] Result<void> complete(MachineConfig& config);

}  // namespace lodge
