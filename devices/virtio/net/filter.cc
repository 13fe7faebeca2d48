#include "devices/virtio/net/filter.h"

#include <algorithm>
#include <cstring>

#include "devices/virtio/net/constants.h"

namespace lodge::net {

bool RxFilter::accepts(std::span<const std::byte> frame) const {
  if (frame.size() < 14) {
    return false;
  }
  const auto on = [this](RxCommand which) { return (mode >> which & 1) != 0; };
  const auto byte = [&](size_t at) { return std::to_integer<unsigned>(frame[at]); };
  if (filter_vlans && frame.size() >= 18 && byte(12) == 0x81 && byte(13) == 0x00) {
    const unsigned vlan = (byte(14) << 8 | byte(15)) & 0xFFF;
    if ((vlans[vlan / 64] >> (vlan % 64) & 1) == 0) {
      return false;
    }
  }
  if (on(kPromisc)) {
    return true;
  }
  MacAddress to;
  std::memcpy(to.data(), frame.data(), to.size());
  if ((to[0] & 1) != 0) {
    if (std::ranges::all_of(to, [](uint8_t value) { return value == 0xFF; })) {
      return !on(kNoBroadcast);
    }
    if (on(kNoMulti)) {
      return false;
    }
    return on(kAllMulti) || multicast_overflow || std::ranges::find(multicast, to) != multicast.end();
  }
  if (on(kNoUni)) {
    return false;
  }
  return on(kAllUni) || unicast_overflow || to == mac || std::ranges::find(unicast, to) != unicast.end();
}

}  // namespace lodge::net
