#include "devices/virtio/net/control.h"

#include "devices/virtio/net/device.h"

namespace lodge {
namespace {

constexpr uint64_t kBody = 2;  // after class and command

template <GuestPod T>
bool read_pod(const Chain& chain, uint64_t offset, T& value) {
  return chain.read(offset, writable_bytes_of(value)) == sizeof value;
}

}  // namespace

void NetControl::kick(Virtqueue& queue) {
  queue.process([this](Chain chain) {
    if (chain.writable_bytes() < 1) {
      device_.guest_mistake("a control command has no room for its answer");
      return true;
    }
    const uint8_t ack = run(chain) ? net::kAckOk : net::kAckError;
    chain.write(0, bytes_of(ack));
    chain.set_written(1);
    return true;
  });
}

bool NetControl::run(const Chain& chain) {
  std::array<uint8_t, 2> header{};
  if (!read_pod(chain, 0, header)) {
    device_.guest_mistake("a control command is shorter than its header");
    return false;
  }
  const uint64_t features = device_.negotiated();
  const auto has = [features](uint64_t feature) { return (features & feature) != 0; };
  switch (header[0]) {
    case net::kClassRx: return has(net::kCtrlRx) && rx_mode(chain, header[1]);
    case net::kClassMac: return mac(chain, header[1]);
    case net::kClassVlan: return has(net::kCtrlVlan) && vlan(chain, header[1]);
    case net::kClassAnnounce:
      if (!has(net::kGuestAnnounce) || header[1] != 0) {
        return false;
      }
      device_.announced();
      return true;
    case net::kClassMq: {
      uint16_t pairs = 0;
      return has(net::kMq) && header[1] == 0 && read_pod(chain, kBody, pairs) && device_.set_pairs(pairs);
    }
    case net::kClassOffloads: {
      uint64_t offloads = 0;
      return has(net::kCtrlGuestOffloads) && header[1] == 0 && read_pod(chain, kBody, offloads) &&
             device_.choose_offloads(offloads);
    }
    default: return false;
  }
}

bool NetControl::rx_mode(const Chain& chain, uint8_t command) {
  uint8_t on = 0;
  if (command > net::kNoBroadcast || !read_pod(chain, kBody, on)) {
    return false;
  }
  if (command > net::kAllMulti && (device_.negotiated() & net::kCtrlRxExtra) == 0) {
    return false;
  }
  net::RxFilter filter = *device_.filter();
  const auto bit = static_cast<uint8_t>(1U << command);
  filter.mode = static_cast<uint8_t>(on != 0 ? filter.mode | bit : filter.mode & ~bit);
  device_.set_filter(std::move(filter));
  return true;
}

bool NetControl::mac(const Chain& chain, uint8_t command) {
  if (command == net::kMacTable) {
    return (device_.negotiated() & net::kCtrlRx) != 0 && mac_table(chain);
  }
  net::MacAddress address{};
  if (command != net::kMacAddress || (device_.negotiated() & net::kCtrlMacAddr) == 0 || !read_pod(chain, kBody, address)) {
    return false;
  }
  net::RxFilter filter = *device_.filter();
  filter.mac = address;
  device_.set_filter(std::move(filter));
  return true;
}

bool NetControl::mac_table(const Chain& chain) {
  net::RxFilter filter = *device_.filter();
  uint64_t offset = kBody;
  const auto take = [&](std::vector<net::MacAddress>& table, bool& overflow) {
    uint32_t count = 0;
    if (!read_pod(chain, offset, count)) {
      return false;
    }
    offset += sizeof count;
    const uint64_t bytes = uint64_t{count} * 6;
    if (bytes > chain.readable_bytes() - offset) {
      return false;
    }
    overflow = count > net::RxFilter::kTable;
    table.resize(overflow ? 0 : count);
    for (size_t i = 0; i < table.size(); ++i) {
      if (!read_pod(chain, offset + i * 6, table[i])) {
        return false;
      }
    }
    offset += bytes;
    return true;
  };
  if (!take(filter.unicast, filter.unicast_overflow) || !take(filter.multicast, filter.multicast_overflow)) {
    device_.guest_mistake("a table of addresses is cut short");
    return false;
  }
  device_.set_filter(std::move(filter));
  return true;
}

bool NetControl::vlan(const Chain& chain, uint8_t command) {
  uint16_t id = 0;
  if (command > net::kVlanDelete || !read_pod(chain, kBody, id) || id >= 4096) {
    return false;
  }
  net::RxFilter filter = *device_.filter();
  const uint64_t bit = uint64_t{1} << (id % 64);
  uint64_t& word = filter.vlans[id / 64];
  word = command == net::kVlanAdd ? word | bit : word & ~bit;
  device_.set_filter(std::move(filter));
  return true;
}

}  // namespace lodge
