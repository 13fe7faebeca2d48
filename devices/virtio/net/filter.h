// Which frames reach the guest: the receive modes, address tables and VLANs that the driver set (virtio 1.2
// section 5.1.6.5). A value: the control queue publishes a new one, receive queues keep their copy until it changes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/net/nic.h"

namespace lodge::net {

struct RxFilter {
  static constexpr size_t kTable = 64;  // addresses of one kind; more: all of that kind pass

  uint8_t mode = 1;
  bool unicast_overflow = false;
  bool multicast_overflow = false;
  bool filter_vlans = false;
  MacAddress mac{};
  std::vector<MacAddress> unicast;
  std::vector<MacAddress> multicast;
  std::array<uint64_t, 64> vlans{};

  // `frame`: at least its first 14 bytes, 18 to see a VLAN tag.
  [[nodiscard]] bool accepts(std::span<const std::byte> frame) const;
};

}  // namespace lodge::net
