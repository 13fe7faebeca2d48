// What a board has besides its devices, as lodge-vmm is told of it: generation ID, notes of a crashed kernel, HPET, parallel
// ports, sockets between guest and host. A part of machine_json.h. Pure.
#pragma once

#include "libvirt-driver/domains/machine_json.h"

namespace lodge {

// Errors: CONFIG_UNSUPPORTED with the element's path for what the monitor cannot do.
[[nodiscard]] Answer<void> check_platform(const DomainConfig& config);

// Whether a pc has an HPET: it has when the domain says so. A timer that is named and not said to be absent is there.
[[nodiscard]] bool has_hpet(const Clock& clock);

void add_platform(Json& machine, const DomainConfig& config, const MachineFds& fds);

}  // namespace lodge
