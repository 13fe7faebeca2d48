// To the wire: the C mode's four descriptors (the data sheet's 6.2) and the C+ mode's rings (7.2).
#include <algorithm>
#include <cstring>

#include "devices/net/frame.h"
#include "devices/rtl8139/device.h"
#include "devices/rtl8139/headers.h"

namespace lodge {

using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr int kBatch = 64;
constexpr size_t kShortest = 60;
constexpr size_t kCrcBytes = 4;
constexpr unsigned kTcpDataOffset = 12;

struct Descriptor {
  uint32_t command = 0;
  uint32_t tag = 0;
  uint64_t buffer = 0;
};
static_assert(sizeof(Descriptor) == kDescriptorBytes);

}  // namespace

// What the descriptors from the ring's place on say.
struct Rtl8139::Packet {
  uint8_t descriptors = 0;
  size_t bytes = 0;
  bool bad = false;
  uint32_t command = 0;  // the first one's
  std::optional<uint16_t> tag;
};

void Rtl8139::transmit() {
  for (int count = 0; count < kBatch; ++count) {
    const Lock lock(mutex_);
    if (!running_ || !bus_master() || !enabled(kTxEnable) || transmit_one() != Sent::one) {
      return;
    }
  }
  wake();  // others' turn, then the rest
}

Rtl8139::Sent Rtl8139::transmit_one() {
  if (!plus(kPlusTx)) {
    return transmit_plain();
  }
  for (const unsigned ring : {1U, 0U}) {
    const uint8_t poll = ring == 1 ? kPollHigh : kPollNormal;
    if ((get(kTxPoll, 1) & poll) == 0) {
      continue;
    }
    const Sent sent = transmit_from(ring);
    if (sent != Sent::nothing) {
      return sent;
    }
    put(kTxPoll, 1, get(kTxPoll, 1) & ~uint32_t{poll});
    raise(kIntTxNone);
  }
  return Sent::nothing;
}

Rtl8139::Sent Rtl8139::transmit_plain() {
  const unsigned at = s_.tx_next % kTxDescriptors;
  const uint32_t status = get(kTxStatus + 4 * at, 4);
  if ((status & kTxOwn) != 0) {
    return Sent::nothing;
  }
  const size_t bytes = status & kTxSize;
  const auto frame = std::span(packet_).first(std::max(std::min(bytes, kLongestPlain), kShortest));
  std::ranges::fill(frame, std::byte{0});
  const bool good = bytes <= kLongestPlain && env_.memory.read_bytes(Gpa{get(kTxAddress + 4 * at, 4)}, frame.first(bytes));
  uint32_t done = kTxOwn;
  if (!good) {
    guest_warning(warnings_, name(), "a frame to send is too long or outside of RAM");
    ++s_.tally.tx_underruns;
    ++s_.tally.tx_errors;
    tx_errors_.fetch_add(1, std::memory_order_relaxed);
    done |= kTxUnderrun;
  } else if (!s_.link_up && !in_loop()) {
    tx_dropped_.fetch_add(1, std::memory_order_relaxed);
    done |= kTxOk | kTxCarrierLost;
  } else {
    const bool has_crc = (get(kTxConfig, 4) & kTxNoCrc) != 0 && bytes >= kShortest + kCrcBytes;
    if (!send(has_crc ? frame.first(bytes - kCrcBytes) : frame, {})) {
      return Sent::later;
    }
    done |= kTxOk;
  }
  put(kTxStatus + 4 * at, 4, (status & (kTxSize | kTxEarly)) | done);
  s_.tx_next = static_cast<uint8_t>((at + 1) % kTxDescriptors);
  raise(good ? kIntTxOk : kIntTxError);
  return Sent::one;
}

uint64_t Rtl8139::ring_base(unsigned ring) const { return get64(ring == 1 ? kTxHigh : kTxNormal) & ~(kRingAlignment - 1); }

// Collects one packet. False: its end is not there yet.
bool Rtl8139::gather(unsigned ring, Packet& packet) {
  const uint64_t base = ring_base(ring);
  uint8_t at = s_.tx_index.at(ring) % kMaxDescriptors;
  while (packet.descriptors < kMaxDescriptors) {
    const auto descriptor = env_.memory.read<Descriptor>(Gpa{base + at * kDescriptorBytes});
    if (!descriptor || (descriptor->command & kOwn) == 0) {
      return false;
    }
    const uint32_t command = descriptor->command;
    if (packet.descriptors++ == 0) {
      packet.command = command;
      if ((descriptor->tag & kTxTag) != 0) {
        packet.tag = static_cast<uint16_t>(__builtin_bswap16(static_cast<uint16_t>(descriptor->tag)));
      }
    }
    const size_t bytes = command & 0xFFFF;
    if (packet.bytes + bytes > packet_.size() - kTagBytes) {
      packet.bad = true;
    } else {
      const auto into = std::span(packet_).subspan(packet.bytes, bytes);
      packet.bad = packet.bad || !env_.memory.read_bytes(Gpa{descriptor->buffer}, into);
      packet.bytes += bytes;
    }
    if ((command & kLast) != 0) {
      return true;
    }
    at = (command & kEndOfRing) != 0 || at + 1 == kMaxDescriptors ? uint8_t{0} : static_cast<uint8_t>(at + 1);
  }
  packet.bad = true;
  return true;
}

Rtl8139::Sent Rtl8139::transmit_from(unsigned ring) {
  Packet packet;
  if (!gather(ring, packet)) {
    return Sent::nothing;
  }
  uint32_t status = 0;
  if (packet.bad) {
    guest_warning(warnings_, name(), "a frame to send is too long or outside of RAM");
    ++s_.tally.tx_underruns;
    status = kTxFailed | kTxFifoEmpty;
  } else if (!s_.link_up && !in_loop()) {
    status = kTxFailed | kTxLinkFailed;
  } else if (!put_out(packet)) {
    return Sent::later;
  }
  if (status != 0) {
    ++s_.tally.tx_errors;
    (packet.bad ? tx_errors_ : tx_dropped_).fetch_add(1, std::memory_order_relaxed);
  }
  give_back(ring, packet, status);
  raise(status == 0 ? kIntTxOk : kIntTxError);
  return Sent::one;
}

// All its descriptors are the driver's again, and the ring's place is behind them.
void Rtl8139::give_back(unsigned ring, const Packet& packet, uint32_t status) {
  constexpr uint32_t kKept = kEndOfRing | kFirst | kLast;
  const uint64_t base = ring_base(ring);
  uint8_t at = s_.tx_index.at(ring) % kMaxDescriptors;
  for (uint8_t i = 0; i < packet.descriptors; ++i) {
    const Gpa place{base + at * kDescriptorBytes};
    const uint32_t command = env_.memory.read<uint32_t>(place).value_or(0);
    (void)env_.memory.write(place, (command & kKept) | status);
    at = (command & kEndOfRing) != 0 || at + 1 == kMaxDescriptors ? uint8_t{0} : static_cast<uint8_t>(at + 1);
  }
  s_.tx_index.at(ring) = at;
}

// False: not now.
bool Rtl8139::put_out(Packet& packet) {
  if (packet.tag && packet.bytes > kTagAt) {
    std::memmove(packet_.data() + kTagAt + kTagBytes, packet_.data() + kTagAt, packet.bytes - kTagAt);
    net::put16(packet_, kTagAt, kTagType);
    net::put16(packet_, kTagAt + 2, *packet.tag);
    packet.bytes += kTagBytes;
  }
  if (packet.bytes < kShortest) {
    std::fill(packet_.begin() + static_cast<ptrdiff_t>(packet.bytes), packet_.begin() + kShortest, std::byte{0});
    packet.bytes = kShortest;
  }
  const auto frame = std::span(packet_).first(packet.bytes);
  FramePort::Offload offload;
  const auto headers = find_headers(frame);
  if ((packet.command & kLargeSend) != 0) {
    const uint32_t size = packet.command >> 16 & kSegmentSize;
    if (!headers || !headers->tcp || size < kLeastSegment) {
      guest_warning(warnings_, name(), "a large send is no TCP packet, or its segments are too small");
      return true;
    }
    const size_t tcp = std::to_integer<size_t>(frame[headers->transport + kTcpDataOffset]) >> 4 << 2;
    offload.cut = true;
    offload.segments = {.ip = headers->ip,
                        .ipv6 = false,
                        .transport = headers->transport,
                        .tcp = true,
                        .headers = headers->transport + tcp,
                        .size = size};
    return send(frame, offload);
  }
  if (!headers) {
    return send(frame, offload);
  }
  if ((packet.command & kIpChecksum) != 0) {
    net::put16(frame, headers->ip + 10, 0);
    (void)net::put_checksum(frame, headers->ip, headers->transport, headers->ip + 10);
  }
  const bool wanted =
      (headers->tcp && (packet.command & kTcpChecksum) != 0) || (headers->udp && (packet.command & kUdpChecksum) != 0);
  if (wanted) {
    const size_t at = checksum_at(*headers);
    net::put16(frame, at, pseudo_sum(frame, *headers));
    if (headers->end == frame.size()) {
      offload.checksum = true;
      offload.start = headers->transport;
      offload.at = at;
    } else {
      (void)net::put_checksum(frame, headers->transport, headers->end, at);
    }
  }
  return send(frame, offload);
}

bool Rtl8139::send(std::span<std::byte> frame, const FramePort::Offload& offload) {
  if (in_loop()) {
    come_back(frame, offload);
  } else if (!frames_.send(frame, offload)) {
    return false;
  }
  ++s_.tally.tx_ok;
  tx_packets_.fetch_add(1, std::memory_order_relaxed);
  tx_bytes_.fetch_add(frame.size(), std::memory_order_relaxed);
  return true;
}

// The loop back in front of the wire: what is sent is received, and nothing else.
void Rtl8139::come_back(std::span<std::byte> frame, const FramePort::Offload& offload) {
  const auto take = [this](std::span<const std::byte> one) REQUIRES(mutex_) {
    if (enabled(kRxEnable)) {
      receive(one);
    }
    return true;
  };
  if (offload.cut) {
    if (net::is_sound(offload.segments, frame.size())) {
      (void)net::segment(frame, offload.segments, segment_, 0, take);
    }
    return;
  }
  if (offload.checksum) {
    (void)net::put_checksum(frame, offload.start, frame.size(), offload.at);
  }
  (void)take(frame);
}

}  // namespace lodge
