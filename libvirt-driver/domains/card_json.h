// Network cards of a domain: which ones there are, what goes with them, their option ROMs. Pure.
#pragma once

#include <string>
#include <string_view>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/host/offered.h"
#include "libvirt-driver/xml/domain_interface.h"

namespace lodge {

// The interface's card. Errors: CONFIG_UNSUPPORTED with the path of an element below `path`, the interface's own: no such
// card, or nothing that it can do.
[[nodiscard]] Answer<const offered::Card*> card_of(const DomainInterface& interface, std::string_view path);

// The file with which a BIOS boots from the interface. Empty: none, it does not boot from it then.
[[nodiscard]] std::string option_rom(const DomainInterface& interface);

}  // namespace lodge
