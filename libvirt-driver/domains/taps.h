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

struct TapCounters {  // as the guest sees them
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
[[nodiscard]] Result<TapCounters> tap_counters(const std::string& name);

}  // namespace lodge
