// A domain's USB controller and what is plugged into it, as lodge-vmm is told of them: a part of machine_json.h. Pure.
#pragma once

#include "libvirt-driver/domains/machine_json.h"

namespace lodge {

// Errors: CONFIG_UNSUPPORTED with the element's path: another model than qemu-xhci and piix3-uhci, a second controller, a
// port of a hub.
[[nodiscard]] Answer<void> check_usb(const DomainConfig& config);
// The same for a device more in a running guest. Errors: OPERATION_UNSUPPORTED if it has no USB controller, which complete()
// has added then; those of check_usb().
[[nodiscard]] Answer<void> check_usb_newcomer(const DomainConfig& before, const DomainConfig& after);
// A tablet, mouse or keyboard.
[[nodiscard]] Json usb_input_json(const DomainInput& input);
// Controller, tablets, mice and keyboards.
void add_usb(Json& machine, const DomainConfig& config);
// A disk's part.
void add_usb_disk(Json& json, const DomainDisk& disk);

}  // namespace lodge
