// From the wire to the receive ring (the manual's chapter 3.2).
#include <algorithm>

#include "devices/e1000/device.h"
#include "devices/net/frame.h"

namespace lodge {

using namespace e1000;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr size_t kShortest = 60;
constexpr size_t kLongest = 1518;  // without a tag and a checksum more
constexpr size_t kCrc = 4;
constexpr size_t kTagAt = 12;
constexpr size_t kTagBytes = 4;

uint32_t buffer_size(uint32_t rctl) {
  const uint32_t size = 2048U >> (rctl >> 16 & 3);
  return (rctl & kSizeExtended) != 0 ? size * 16 : size;
}

bool is_broadcast(std::span<const std::byte> frame) {
  return std::ranges::all_of(frame.first(6), [](std::byte byte) { return byte == std::byte{0xFF}; });
}

bool is_multicast(std::span<const std::byte> frame) { return (frame[0] & std::byte{1}) != std::byte{0}; }

}  // namespace

bool E1000::wants_frames() {
  const Lock lock(mutex_);
  if (!running_ || !bus_master()) {
    return false;
  }
  const Ring ring = this->ring(kRdbal, kRdlen);
  const bool room =
      (get(kRctl) & kEnable) != 0 && get(kRdh) < ring.entries && get(kRdt) < ring.entries && get(kRdh) != get(kRdt);
  return room || !s_.link_up;  // nothing gets through a cable that is out, and nothing waits in it
}

bool E1000::accepts(std::span<const std::byte> frame) const {
  const uint32_t rctl = get(kRctl);
  const bool tagged = frame.size() >= kTagAt + kTagBytes && net::get16(frame, kTagAt) == (get(kVet) & 0xFFFF);
  if (tagged && (rctl & kVlanFilter) != 0) {
    const unsigned id = net::get16(frame, kTagAt + 2) & 0xFFF;
    if ((get(kVfta + 4 * (id >> 5)) >> (id & 31) & 1) == 0) {
      return false;
    }
  }
  if (is_broadcast(frame)) {
    return (rctl & (kBroadcast | kAllMulticast)) != 0;
  }
  if (is_multicast(frame)) {
    if ((rctl & kAllMulticast) != 0) {
      return true;
    }
  } else if ((rctl & kAllUnicast) != 0) {
    return true;
  }
  for (uint32_t i = 0; i < kAddresses; ++i) {
    const uint64_t pair = uint64_t{get(kRal + 8 * i + 4)} << 32 | get(kRal + 8 * i);
    const auto same = [&](size_t at) { return std::to_integer<uint64_t>(frame[at]) == (pair >> (8 * at) & 0xFF); };
    if ((pair >> 63) != 0 && same(0) && same(1) && same(2) && same(3) && same(4) && same(5)) {
      return true;
    }
  }
  if (!is_multicast(frame)) {
    return false;
  }
  static constexpr std::array<unsigned, 4> kShift{4, 3, 2, 0};
  const unsigned high = std::to_integer<unsigned>(frame[5]) << 8 | std::to_integer<unsigned>(frame[4]);
  const unsigned hash = high >> kShift.at(rctl >> 12 & 3) & 0xFFF;
  return (get(kMta + 4 * (hash >> 5)) >> (hash & 31) & 1) != 0;
}

void E1000::take_frame(std::span<const std::byte> frame) {
  const Lock lock(mutex_);
  if (!s_.link_up || !accepts(frame) || (frame.size() > kLongest && (get(kRctl) & kLongPackets) == 0)) {
    rx_dropped_.fetch_add(s_.link_up ? 0 : 1, std::memory_order_relaxed);
    return;
  }
  std::optional<uint16_t> tag;
  const bool tagged = frame.size() >= kTagAt + kTagBytes && net::get16(frame, kTagAt) == (get(kVet) & 0xFFFF);
  const size_t padded = std::max(frame.size(), kShortest);
  std::ranges::fill(std::ranges::copy(frame, stored_.begin()).out, stored_.begin() + static_cast<ptrdiff_t>(padded + kCrc),
                    std::byte{0});
  size_t bytes = padded;
  if (tagged && (get(kCtrl) & kVlanMode) != 0) {
    tag = net::get16(frame, kTagAt + 2);
    std::copy(stored_.begin() + kTagAt + kTagBytes, stored_.begin() + static_cast<ptrdiff_t>(padded),
              stored_.begin() + kTagAt);
    bytes -= kTagBytes;
  }
  if (is_broadcast(frame)) {
    ++reg(kBroadcastReceived);
  } else if (is_multicast(frame)) {
    ++reg(kMulticastReceived);
  }
  if ((get(kRctl) & kStripCrc) == 0) {
    std::fill_n(stored_.begin() + static_cast<ptrdiff_t>(bytes), kCrc, std::byte{0});
    bytes += kCrc;
  }
  store(std::span(stored_).first(bytes), tag);
}

void E1000::store(std::span<const std::byte> frame, std::optional<uint16_t> tag) {
  const Ring ring = this->ring(kRdbal, kRdlen);
  const uint32_t size = buffer_size(get(kRctl));
  const uint32_t head = get(kRdh);
  const uint32_t free = (get(kRdt) + ring.entries - head) % ring.entries;
  const auto needed = static_cast<uint32_t>((frame.size() + size - 1) / size);
  if (needed > free) {
    ++reg(kMissedPackets);
    rx_dropped_.fetch_add(1, std::memory_order_relaxed);
    raise(kIntReceiveOverrun);
    return;
  }
  uint32_t at = head;
  for (size_t done = 0; done < frame.size(); done += size) {
    const auto part = frame.subspan(done, std::min<size_t>(size, frame.size() - done));
    const Gpa place{ring.base + uint64_t{at} * kDescriptorBytes};
    const bool last = done + part.size() == frame.size();
    if (const auto buffer = env_.memory.read<uint64_t>(place); buffer && *buffer != 0) {
      if (!env_.memory.write_bytes(Gpa{*buffer}, part)) {
        guest_warning(warnings_, name(), "a receive buffer is outside of RAM");
      }
    }
    const uint64_t status = kDone | kIgnoreChecksum | (last ? kEndOfPacket : 0) | (last && tag ? kVlanPacket : 0);
    const uint64_t upper = part.size() | status << 32 | (last && tag ? uint64_t{*tag} << 48 : 0);
    (void)env_.memory.write(Gpa{place.value + 8}, upper);
    at = at + 1 < ring.entries ? at + 1 : 0;
  }
  reg(kRdh) = at;
  rx_packets_.fetch_add(1, std::memory_order_relaxed);
  rx_bytes_.fetch_add(frame.size(), std::memory_order_relaxed);
  count(kGoodReceived, kGoodOctetsReceived, kTotalReceived, kTotalOctetsReceived, frame.size());
  const uint32_t left = free - needed;
  const uint32_t low = ring.entries >> ((get(kRctl) >> 8 & 3) + 1);
  raise(kIntReceived | (left <= low ? kIntReceiveLow : 0));
}

}  // namespace lodge
