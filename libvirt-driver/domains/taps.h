// Taps: host interfaces of guests, made by the daemon and gone with the monitor that holds them.
#pragma once

#include <vector>

#include "base/fd.h"
#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_interface.h"

namespace lodge {

struct Tap {
  std::string name;     // "vnet3"
  std::vector<Fd> fds;  // one for each queue pair
};

// Opens or makes the tap of an interface (its target's name, "" or "vnet...": the next free one), sets its address, joins it
// to the bridge and brings it up, unless its owner manages it. Errors name the interface and the bridge.
[[nodiscard]] Answer<Tap> make_tap(const DomainInterface& interface);
// Joins its tap, which is there, to its bridge, if it is not there already. Errors as above.
[[nodiscard]] Answer<void> join_bridge(const DomainInterface& interface);

}  // namespace lodge
