// The saved state of a virtio NIC, beyond its queues.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct NetState {
  std::array<uint8_t, 6> mac{};
  bool link_up = true;
  bool announce = false;
  uint16_t active_pairs = 1;
  uint64_t guest_offloads = 0;  // chosen by the driver, in feature bits
  bool offloads_chosen = false;
  uint8_t rx_mode = 1;  // bit n: command n of the class "rx" is on; promiscuous from the start
  bool unicast_overflow = false;
  bool multicast_overflow = false;
  std::vector<std::array<uint8_t, 6>> unicast;
  std::vector<std::array<uint8_t, 6>> multicast;
  std::array<uint64_t, 64> vlans{};  // a bit for each identifier
};

template <>
struct Schema<NetState> {
  static constexpr std::string_view name = "virtio-net";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{
      field(1, "mac", &NetState::mac),
      field(2, "link-up", &NetState::link_up),
      field(3, "announce", &NetState::announce),
      field(4, "active-pairs", &NetState::active_pairs),
      field(5, "guest-offloads", &NetState::guest_offloads),
      field(6, "offloads-chosen", &NetState::offloads_chosen),
      field(7, "rx-mode", &NetState::rx_mode),
      field(8, "unicast-overflow", &NetState::unicast_overflow),
      field(9, "multicast-overflow", &NetState::multicast_overflow),
      field(10, "unicast", &NetState::unicast),
      field(11, "multicast", &NetState::multicast),
      field(12, "vlans", &NetState::vlans),
  };
};

}  // namespace lodge
