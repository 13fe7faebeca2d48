// Virtio keyboards, mice and tablets of a domain, as lodge-vmm is told of them: a part of machine_json.h and of the live
// attach. Pure.
#pragma once

#include "libvirt-driver/domains/machine_json.h"

namespace lodge {

// One on bus 'virtio'. Errors: CONFIG_UNSUPPORTED with the attribute's path for what it cannot do.
[[nodiscard]] Answer<Json> input_json(const DomainInput& input);
[[nodiscard]] Answer<void> add_inputs(Json& machine, const DomainConfig& config);

// `<driver>` of a device that offers split and packed rings: the ring's word. Errors: as above, with `path` the device's.
[[nodiscard]] Answer<std::string_view> ring_of(const VirtioOptions& options, std::string_view path);

}  // namespace lodge
