#include "devices/net/offload.h"

#include <algorithm>
#include <cstring>

namespace lodge::net {
namespace {

constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;
constexpr size_t kTcpHeader = 20;
constexpr size_t kUdpHeader = 8;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;
constexpr std::byte kFinPush{0x09};
constexpr size_t kTcpChecksum = 16;
constexpr size_t kUdpChecksum = 6;
constexpr size_t kUdpLength = 4;

uint16_t fold(uint64_t sum) {
  while (sum >> 16 != 0) {
    sum = (sum & 0xFFFF) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

uint32_t get32(std::span<const std::byte> bytes, size_t at) {
  return uint32_t{get16(bytes, at)} << 16 | get16(bytes, at + 2);
}

void put32(std::span<std::byte> bytes, size_t at, uint32_t value) {
  put16(bytes, at, static_cast<uint16_t>(value >> 16));
  put16(bytes, at + 2, static_cast<uint16_t>(value));
}

}  // namespace

uint16_t get16(std::span<const std::byte> bytes, size_t at) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(bytes[at]) << 8 | std::to_integer<unsigned>(bytes[at + 1]));
}

void put16(std::span<std::byte> bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<std::byte>(value >> 8);
  bytes[at + 1] = static_cast<std::byte>(value);
}

uint16_t sum(std::span<const std::byte> bytes, uint32_t start) {
  uint64_t total = start;
  size_t at = 0;
  for (; at + 2 <= bytes.size(); at += 2) {
    total += get16(bytes, at);
  }
  if (at < bytes.size()) {
    total += std::to_integer<uint64_t>(bytes[at]) << 8;
  }
  return fold(total);
}

bool put_checksum(std::span<std::byte> frame, size_t begin, size_t end, size_t at) {
  if (end > frame.size() || begin >= end || at + 2 > frame.size()) {
    return false;
  }
  const auto value = static_cast<uint16_t>(~sum(frame.subspan(begin, end - begin)));
  put16(frame, at, value);
  return true;
}

bool is_sound(const Segmentation& what, size_t frame) {
  const size_t ip_header = what.ipv6 ? kIpv6Header : kIpv4Header;
  const size_t transport_header = what.tcp ? kTcpHeader : kUdpHeader;
  return frame <= kMaxUnsegmented && what.size != 0 && what.ip + ip_header <= what.transport &&
         what.transport + transport_header <= what.headers && what.headers < frame;
}

void complete_headers(std::span<std::byte> frame, const Segmentation& what) {
  const auto ip = frame.subspan(what.ip);
  const size_t length = frame.size() - what.transport;
  uint32_t pseudo = static_cast<uint32_t>(length & 0xFFFF) + (what.tcp ? kTcp : kUdp);
  if (what.ipv6) {
    put16(ip, 4, static_cast<uint16_t>(ip.size() - kIpv6Header));
    pseudo += sum(ip.subspan(8, 32));
  } else {
    put16(ip, 2, static_cast<uint16_t>(ip.size()));
    put16(ip, 10, 0);
    put16(ip, 10, static_cast<uint16_t>(~sum(ip.first(what.transport - what.ip))));
    pseudo += sum(ip.subspan(12, 8));
  }
  if (!what.tcp) {
    put16(frame, what.transport + kUdpLength, static_cast<uint16_t>(length));
  }
  put16(frame, what.transport + (what.tcp ? kTcpChecksum : kUdpChecksum), fold(pseudo));
}

Segments segment(std::span<const std::byte> frame, const Segmentation& what, std::span<std::byte> scratch, size_t first,
                 const std::function<bool(std::span<const std::byte>)>& send) {
  const size_t payload = frame.size() - what.headers;
  Segments result;
  result.all = (payload + what.size - 1) / what.size;
  for (result.sent = first; result.sent < result.all; ++result.sent) {
    const size_t at = result.sent * what.size;
    const size_t bytes = std::min(what.size, payload - at);
    if (what.headers + bytes > scratch.size()) {
      return result;
    }
    const auto out = scratch.first(what.headers + bytes);
    std::memcpy(out.data(), frame.data(), what.headers);
    std::memcpy(out.data() + what.headers, frame.data() + what.headers + at, bytes);
    if (!what.ipv6) {
      put16(out, what.ip + 4, static_cast<uint16_t>(get16(frame, what.ip + 4) + result.sent));
    }
    if (what.tcp) {
      put32(out, what.transport + 4, get32(frame, what.transport + 4) + static_cast<uint32_t>(at));
      if (result.sent + 1 < result.all) {
        out[what.transport + 13] &= ~kFinPush;
      }
    }
    complete_headers(out, what);
    (void)put_checksum(out, what.transport, out.size(), what.transport + (what.tcp ? kTcpChecksum : kUdpChecksum));
    if (!send(out)) {
      return result;
    }
  }
  return result;
}

}  // namespace lodge::net
