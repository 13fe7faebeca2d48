// From the transmit ring to the wire (the manual's chapter 3.3).
#include <algorithm>
#include <cstring>

#include "devices/e1000/device.h"
#include "devices/net/frame.h"

namespace lodge {

using namespace e1000;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr uint32_t kMaxDescriptors = 256;  // of one packet
constexpr int kBatch = 64;
constexpr size_t kTagAt = 12;
constexpr size_t kTagBytes = 4;

template <class T>
T take(std::span<const std::byte> from, size_t at) {
  T value;
  std::memcpy(&value, from.data() + at, sizeof(value));
  return value;
}

}  // namespace

// What the descriptors from the head on say.
struct E1000::Packet {
  uint32_t descriptors = 0;
  size_t bytes = 0;
  bool bad = false;
  bool report = false;
  bool extended = false;
  bool cut = false;
  uint8_t options = 0;
  std::optional<uint16_t> tag;
  uint8_t legacy_start = 0;
  uint8_t legacy_at = 0;
  bool legacy_checksum = false;
};

void E1000::transmit() {
  for (int count = 0; count < kBatch; ++count) {
    const Lock lock(mutex_);
    if (!running_ || (get(kTctl) & kEnable) == 0 || !bus_master() || transmit_one() != Sent::one) {
      return;
    }
  }
  wake();  // others' turn, then the rest
}

void E1000::take_context(std::span<const std::byte> descriptor) {
  E1000Context context;
  context.ip_start = take<uint8_t>(descriptor, 0);
  context.ip_at = take<uint8_t>(descriptor, 1);
  context.ip_end = take<uint16_t>(descriptor, 2);
  context.transport_start = take<uint8_t>(descriptor, 4);
  context.transport_at = take<uint8_t>(descriptor, 5);
  context.transport_end = take<uint16_t>(descriptor, 6);
  const auto command = take<uint32_t>(descriptor, 8);
  context.payload = command & 0xFFFFF;
  context.command = static_cast<uint8_t>(command >> 24);
  context.header_length = take<uint8_t>(descriptor, 13);
  context.segment = take<uint16_t>(descriptor, 14);
  s_.contexts[(context.command & kCmdSegment) != 0 ? 1 : 0] = context;
}

// Collects one packet. False: its end is not in the ring yet.
bool E1000::gather(Packet& packet) {
  const Ring ring = this->ring(kTdbal, kTdlen);
  uint32_t at = get(kTdh);
  bool first = true;
  while (at != get(kTdt) && packet.descriptors < ring.entries) {
    std::array<std::byte, kDescriptorBytes> descriptor{};
    (void)env_.memory.read_bytes(Gpa{ring.base + uint64_t{at} * kDescriptorBytes}, descriptor);
    at = at + 1 < ring.entries ? at + 1 : 0;
    ++packet.descriptors;
    const auto lower = take<uint32_t>(descriptor, 8);
    const auto command = static_cast<uint8_t>(lower >> 24);
    packet.report = packet.report || (command & kCmdReport) != 0;
    const bool extended = (command & kCmdExtended) != 0;
    if (extended && (lower >> 20 & 0xF) == 0) {
      take_context(descriptor);
      continue;
    }
    const size_t bytes = lower & (extended ? 0xFFFFF : 0xFFFF);
    if (first) {
      first = false;
      packet.extended = extended;
      packet.cut = extended && (command & kCmdSegment) != 0;
      packet.options = extended ? take<uint8_t>(descriptor, 13) : 0;
    }
    if (packet.descriptors > kMaxDescriptors || packet.bytes + bytes > packet_.size() - kTagBytes) {
      packet.bad = true;
    } else if (bytes != 0) {
      const auto into = std::span(packet_).subspan(packet.bytes, bytes);
      packet.bad = packet.bad || !env_.memory.read_bytes(Gpa{take<uint64_t>(descriptor, 0)}, into);
      packet.bytes += bytes;
    }
    if ((command & kCmdEnd) != 0) {
      if ((command & kCmdVlan) != 0) {
        packet.tag = take<uint16_t>(descriptor, 14);
      }
      if (!extended && (command & kCmdChecksum) != 0) {
        packet.legacy_checksum = true;
        packet.legacy_at = static_cast<uint8_t>(lower >> 16);
        packet.legacy_start = take<uint8_t>(descriptor, 13);
      }
      return true;
    }
  }
  return false;
}

// False: not now.
bool E1000::put_out(Packet& packet) {
  size_t moved = 0;  // by which a tag moves what follows
  if (packet.tag && (get(kCtrl) & kVlanMode) != 0 && packet.bytes > kTagAt) {
    std::memmove(packet_.data() + kTagAt + kTagBytes, packet_.data() + kTagAt, packet.bytes - kTagAt);
    net::put16(packet_, kTagAt, static_cast<uint16_t>(get(kVet)));
    net::put16(packet_, kTagAt + 2, *packet.tag);
    packet.bytes += kTagBytes;
    moved = kTagBytes;
  }
  const auto frame = std::span(packet_).first(packet.bytes);
  FramePort::Offload offload;
  const E1000Context& context = s_.contexts[packet.cut ? 1 : 0];
  if (packet.cut) {
    offload.cut = true;
    offload.segments = {.ip = context.ip_start + moved,
                        .ipv6 = (context.command & kContextIp) == 0,
                        .transport = context.transport_start + moved,
                        .tcp = (context.command & kContextTcp) != 0,
                        .headers = context.header_length + moved,
                        .size = context.segment};
  } else if (packet.extended) {
    if ((packet.options & kOptionIp) != 0) {
      const size_t end = context.ip_end != 0 ? size_t{context.ip_end} + 1 + moved : frame.size();
      (void)net::put_checksum(frame, context.ip_start + moved, std::min(end, frame.size()), context.ip_at + moved);
    }
    if ((packet.options & kOptionTransport) != 0) {
      const size_t end = context.transport_end != 0 ? size_t{context.transport_end} + 1 + moved : 0;
      if (end != 0 && end < frame.size()) {
        (void)net::put_checksum(frame, context.transport_start + moved, end, context.transport_at + moved);
      } else {
        offload.checksum = true;
        offload.start = context.transport_start + moved;
        offload.at = context.transport_at + moved;
      }
    }
  } else if (packet.legacy_checksum) {
    (void)net::put_checksum(frame, packet.legacy_start + moved, frame.size(), packet.legacy_at + moved);
  }
  return frames_.send(frame, offload);
}

// All its descriptors are the driver's again.
void E1000::report(const Packet& packet, uint32_t next) {
  const Ring ring = this->ring(kTdbal, kTdlen);
  uint32_t at = get(kTdh);
  for (uint32_t i = 0; i < packet.descriptors; ++i) {
    const Gpa place{ring.base + uint64_t{at} * kDescriptorBytes};
    const auto command = env_.memory.read<uint8_t>(Gpa{place.value + 11});
    if (command && (*command & kCmdReport) != 0) {
      const auto status = env_.memory.read<uint8_t>(Gpa{place.value + kStatusAt});
      (void)env_.memory.write(Gpa{place.value + kStatusAt}, static_cast<uint8_t>(status.value_or(0) | kDone));
    }
    at = at + 1 < ring.entries ? at + 1 : 0;
  }
  reg(kTdh) = next;
  raise((packet.report ? kIntTransmitted : 0) | (next == get(kTdt) ? kIntTransmitEmpty : 0));
}

E1000::Sent E1000::transmit_one() {
  const Ring ring = this->ring(kTdbal, kTdlen);
  if (get(kTdh) >= ring.entries || get(kTdt) >= ring.entries || get(kTdh) == get(kTdt)) {
    return Sent::nothing;
  }
  Packet packet;
  if (!gather(packet)) {
    return Sent::nothing;
  }
  packet.bad = packet.bad || (packet.cut && s_.contexts[1].segment < kLeastSegment);
  if (packet.bad) {
    guest_warning(warnings_, name(), "a frame to send is too long, outside of RAM, or to be cut into tiny segments");
    tx_dropped_.fetch_add(1, std::memory_order_relaxed);
  } else if (!s_.link_up) {
    tx_dropped_.fetch_add(1, std::memory_order_relaxed);
  } else {
    if (!put_out(packet)) {
      return Sent::later;
    }
    tx_packets_.fetch_add(1, std::memory_order_relaxed);
    tx_bytes_.fetch_add(packet.bytes, std::memory_order_relaxed);
    count(kGoodTransmitted, kGoodOctetsTransmitted, kTotalTransmitted, kTotalOctetsTransmitted, packet.bytes);
  }
  report(packet, static_cast<uint32_t>((uint64_t{get(kTdh)} + packet.descriptors) % ring.entries));
  return Sent::one;
}

// Counters of 32 and 64 bits stay at their end.
void E1000::count(uint32_t packets, uint32_t octets, uint32_t total_packets, uint32_t total_octets, size_t bytes) {
  for (const uint32_t counter : {packets, total_packets}) {
    if (get(counter) != UINT32_MAX) {
      ++reg(counter);
    }
  }
  for (const uint32_t counter : {octets, total_octets}) {
    const uint64_t value = (uint64_t{get(counter + 4)} << 32 | get(counter)) + bytes;
    reg(counter) = static_cast<uint32_t>(value);
    reg(counter + 4) = static_cast<uint32_t>(value >> 32);
  }
}

}  // namespace lodge
