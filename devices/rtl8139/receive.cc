// From the wire: into the C mode's ring of bytes (the data sheet's 6.8 and 6.12) or the C+ mode's descriptors (7.3).
#include <algorithm>

#include "devices/net/frame.h"
#include "devices/rtl8139/device.h"
#include "devices/rtl8139/headers.h"

namespace lodge {

using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr size_t kShortest = 60;
constexpr size_t kCrcBytes = 4;
constexpr size_t kHeaderBytes = 4;  // in front of a frame in the ring
constexpr uint32_t kAhead = 16;     // that the driver's place in the ring is behind
constexpr size_t kLongestPlus = 4096;
constexpr std::chrono::milliseconds kLookAgain(2);
constexpr std::chrono::milliseconds kPatience(20);
constexpr uint32_t kMostMissed = 0xFFFFFF;

constexpr uint32_t in_ring(size_t frame) {
  return static_cast<uint32_t>((kHeaderBytes + std::max(frame, kShortest) + kCrcBytes + 3) & ~size_t{3});
}

bool is_broadcast(std::span<const std::byte> frame) {
  return std::ranges::all_of(frame.first(6), [](std::byte byte) { return byte == std::byte{0xFF}; });
}

// Where a group's bit is: the upper six bits of its address's CRC-32, the highest one first.
unsigned group_hash(std::span<const std::byte> frame) {
  constexpr uint32_t kPolynomial = 0x04C11DB7;
  uint32_t crc = UINT32_MAX;
  for (const std::byte byte : frame.first(6)) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const bool odd = (crc >> 31 & 1) != (std::to_integer<uint32_t>(byte) >> bit & 1);
      crc = crc << 1 ^ (odd ? kPolynomial : 0);
    }
  }
  return crc >> 26;
}

}  // namespace

uint32_t Rtl8139::ring_bytes() const { return 8192U << (get(kRxConfig, 4) >> 11 & 3); }

// Equal places: it is empty.
uint32_t Rtl8139::ring_used() const { return (get(kRxWritten, 2) - (get(kRxRead, 2) + kAhead)) & (ring_bytes() - 1); }

bool Rtl8139::wants_frames() {
  const Lock lock(mutex_);
  if (!running_ || !bus_master()) {
    return false;
  }
  if (!s_.link_up || in_loop()) {
    return true;  // nothing gets through a cable that is out, and nothing waits in it
  }
  if (!enabled(kRxEnable)) {
    return false;
  }
  return plus(kPlusRx) ? wants_descriptor() : ring_used() + in_ring(kLongestPlain) < ring_bytes();
}

// A driver gives descriptors back in memory. So they are looked for again, a few times: after that frames are lost, as on
// any wire, but without a timer that runs for nothing.
bool Rtl8139::wants_descriptor() {
  const uint64_t ring = get64(kRxRing) & ~(kRingAlignment - 1);
  const uint8_t at = s_.rx_index % kMaxDescriptors;
  const uint32_t command = env_.memory.read<uint32_t>(Gpa{ring + at * kDescriptorBytes}).value_or(0);
  if ((command & kOwn) != 0) {
    starved_.reset();
    return true;
  }
  const Clock::time_point now = Clock::now();
  if (!starved_) {
    starved_ = now;
  }
  if (now - *starved_ >= kPatience) {
    return true;
  }
  look_again_ = loop_.after(kLookAgain, [this] { frames_.poll(); });
  return false;
}

// With what its status says; 0: it is not for this card.
uint16_t Rtl8139::accepts(std::span<const std::byte> frame) const {
  const uint32_t wanted = get(kRxConfig, 4);
  const bool all = (wanted & kAcceptAll) != 0;
  if (is_broadcast(frame)) {
    return all || (wanted & kAcceptBroadcast) != 0 ? kRxIsBroadcast | kRxGood : uint16_t{0};
  }
  if ((frame[0] & std::byte{1}) != std::byte{0}) {
    const unsigned hash = group_hash(frame);
    const bool known = (s_.registers[kMulticast + hash / 8] >> (hash % 8) & 1) != 0;
    return all || ((wanted & kAcceptMulticast) != 0 && known) ? kRxIsMulticast | kRxGood : uint16_t{0};
  }
  const bool own = std::ranges::equal(frame.first(6), std::as_bytes(std::span(s_.registers).subspan(kId, 6)));
  if (own && (all || (wanted & kAcceptPhysical) != 0)) {
    return kRxIsPhysical | kRxGood;
  }
  return all ? kRxGood : uint16_t{0};
}

void Rtl8139::take_frame(std::span<const std::byte> frame) {
  const Lock lock(mutex_);
  if (s_.link_up && !in_loop() && enabled(kRxEnable)) {
    receive(frame);
  }
}

void Rtl8139::receive(std::span<const std::byte> frame) {
  const bool descriptors = plus(kPlusRx);
  const uint16_t status = frame.size() >= kMinFrame ? accepts(frame) : uint16_t{0};
  if (status == 0 || frame.size() + kCrcBytes > (descriptors ? kLongestPlus : kLongestPlain)) {
    rx_dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  std::optional<uint16_t> tag;
  const bool tagged = frame.size() >= kTagAt + kTagBytes && net::get16(frame, kTagAt) == kTagType;
  const auto begin = received_.begin();
  auto end = begin;
  if (tagged && descriptors && plus(kRxVlan)) {
    tag = net::get16(frame, kTagAt + 2);
    end = std::ranges::copy(frame.first(kTagAt), end).out;
    end = std::ranges::copy(frame.subspan(kTagAt + kTagBytes), end).out;
  } else {
    end = std::ranges::copy(frame, end).out;
  }
  const auto bytes = std::max(static_cast<size_t>(end - begin), kShortest) + kCrcBytes;
  std::fill(end, begin + static_cast<ptrdiff_t>(bytes), std::byte{0});  // nobody looks at the CRC: it is zero
  const auto whole = std::span(received_).first(bytes);
  uint32_t more = 0;
  if (descriptors && plus(kRxChecksum)) {
    more = look_at_checksums(whole.first(bytes - kCrcBytes));
  }
  const uint32_t plus_status = (uint32_t{status} & ~uint32_t{kRxGood}) << kPlusShift | more;
  if (descriptors ? !store_plus(whole, plus_status, tag) : !store_plain(whole, status)) {
    lose();
    return;
  }
  Rtl8139Tally& tally = s_.tally;
  ++tally.rx_ok;
  tally.rx_physical += (status & kRxIsPhysical) != 0 ? 1 : 0;
  tally.rx_broadcast += (status & kRxIsBroadcast) != 0 ? 1 : 0;
  tally.rx_multicast += (status & kRxIsMulticast) != 0 ? 1 : 0;
  rx_packets_.fetch_add(1, std::memory_order_relaxed);
  rx_bytes_.fetch_add(frame.size(), std::memory_order_relaxed);
  raise(kIntRxOk);
}

// There is no place for it.
void Rtl8139::lose() {
  put(kMissed, 4, std::min(get(kMissed, 4) + 1, kMostMissed));
  ++s_.tally.missed;
  rx_dropped_.fetch_add(1, std::memory_order_relaxed);
  raise(kIntRxFull);
}

bool Rtl8139::store_plain(std::span<const std::byte> frame, uint16_t status) {
  const uint32_t ring = ring_bytes();
  const uint32_t needed = in_ring(frame.size() - kCrcBytes);
  if (ring_used() + needed >= ring) {
    return false;
  }
  const uint64_t base = get(kRxBuffer, 4);
  const uint32_t at = get(kRxWritten, 2) & (ring - 1) & ~3U;
  constexpr uint32_t kWholeRing = 65536;  // the largest has nothing behind its end
  const bool wraps = (get(kRxConfig, 4) & kRxNoWrap) == 0 || ring == kWholeRing;
  const uint32_t header = uint32_t{status} | static_cast<uint32_t>(frame.size()) << 16;
  bool good = env_.memory.write(Gpa{base + at}, header).has_value();
  const uint32_t body = wraps ? (at + kHeaderBytes) & (ring - 1) : at + kHeaderBytes;
  const size_t before_end = wraps ? std::min<size_t>(frame.size(), ring - body) : frame.size();
  good = env_.memory.write_bytes(Gpa{base + body}, frame.first(before_end)) && good;
  if (before_end < frame.size()) {
    good = env_.memory.write_bytes(Gpa{base}, frame.subspan(before_end)) && good;
  }
  if (!good) {
    guest_warning(warnings_, name(), "the receive ring is outside of RAM");
  }
  put(kRxWritten, 2, (at + needed) & (ring - 1));
  return true;
}

bool Rtl8139::store_plus(std::span<const std::byte> frame, uint32_t status, std::optional<uint16_t> tag) {
  struct Place {
    Gpa descriptor;
    uint64_t buffer;
    uint32_t command;
  };
  std::array<Place, kMaxDescriptors> places{};
  const uint64_t ring = get64(kRxRing) & ~(kRingAlignment - 1);
  uint8_t at = s_.rx_index % kMaxDescriptors;
  size_t count = 0;
  for (size_t room = 0; room < frame.size(); ++count) {
    if (count == places.size()) {
      return false;
    }
    Place& place = places.at(count);
    place.descriptor = Gpa{ring + at * kDescriptorBytes};
    place.command = env_.memory.read<uint32_t>(place.descriptor).value_or(0);
    if ((place.command & kOwn) == 0) {
      return false;
    }
    place.buffer = env_.memory.read<uint64_t>(Gpa{place.descriptor.value + 8}).value_or(0);
    room += place.command & kRxBytes;
    at = (place.command & kEndOfRing) != 0 || at + 1 == kMaxDescriptors ? uint8_t{0} : static_cast<uint8_t>(at + 1);
  }
  size_t done = 0;
  for (const Place& place : std::span(places).first(count)) {
    const auto part = frame.subspan(done, std::min<size_t>(place.command & kRxBytes, frame.size() - done));
    if (!env_.memory.write_bytes(Gpa{place.buffer}, part)) {
      guest_warning(warnings_, name(), "a receive buffer is outside of RAM");
    }
    done += part.size();
  }
  // The first one last: who sees it given back finds all of them.
  for (size_t i = count; i-- > 0;) {
    const Place& place = places.at(i);
    const uint32_t tagged = tag ? kRxTag | __builtin_bswap16(*tag) : 0;
    (void)env_.memory.write(Gpa{place.descriptor.value + 4}, tagged);
    const uint32_t ends = (i == 0 ? kFirst : 0) | (i + 1 == count ? kLast : 0);
    (void)env_.memory.write(place.descriptor,
                            (place.command & kEndOfRing) | ends | status | static_cast<uint32_t>(frame.size()));
  }
  s_.rx_index = at;
  return true;
}

}  // namespace lodge
