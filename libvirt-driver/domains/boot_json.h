// What a guest begins with, for machine_json.h: a kernel, or on machine pc a BIOS or UEFI and the order of what it tries.
// Pure.
#pragma once

#include <map>
#include <string>

#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/domains/nvram.h"

namespace lodge {

// Whether the guest begins in firmware. UEFI can be given a kernel.
[[nodiscard]] inline bool has_firmware(const DomainConfig& config) { return config.os.kernel.empty() || is_uefi(config.os); }
[[nodiscard]] inline bool is_microvm(const DomainConfig& config) { return config.os.machine.starts_with("microvm"); }
// The image of the firmware: the one that is asked for, or the usual one.
[[nodiscard]] std::string firmware_image(const OsConfig& os);

// Places in the firmware's order, from 1, by the aliases of disks and interfaces; the others are not tried. As libvirt's
// qemu driver has it: of each kind in <boot dev=> the first device. Empty: the firmware's own order.
[[nodiscard]] std::map<std::string, uint32_t> boot_places(const DomainConfig& config);

// "boot" or "firmware" of the machine. Errors: CONFIG_UNSUPPORTED with the element's path.
[[nodiscard]] Answer<void> add_boot(Json& machine, const DomainConfig& config, const MachineFds& fds);

}  // namespace lodge
