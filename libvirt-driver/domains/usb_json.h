// A domain's USB controller and what is plugged into it, as lodge-vmm is told of them: a part of machine_json.h. Pure.
#pragma once

#include "libvirt-driver/domains/machine_json.h"

namespace lodge {

// Errors: CONFIG_UNSUPPORTED with the element's path: another model than qemu-xhci and piix3-uhci, a second controller, a
// port of a hub.
[[nodiscard]] Answer<void> check_usb(const DomainConfig& config);
// Controller, tablets, mice and keyboards.
void add_usb(Json& machine, const DomainConfig& config);
// A disk's part.
void add_usb_disk(Json& json, const DomainDisk& disk);

}  // namespace lodge
