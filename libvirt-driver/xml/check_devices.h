// The part of check() that looks at devices.
#pragma once

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

[[nodiscard]] Answer<void> check_devices(const DomainConfig& config);

// Is there an I/O thread of this number?
[[nodiscard]] bool has_iothread(const DomainConfig& config, uint32_t id);

}  // namespace lodge
