#include "devices/rtl8139/headers.h"

#include <algorithm>

#include "devices/net/offload.h"
#include "devices/rtl8139/registers.h"

namespace lodge::rtl8139 {
namespace {

constexpr uint16_t kIpv4Type = 0x0800;
constexpr size_t kIpv4Header = 20;
constexpr size_t kTcpHeader = 20;
constexpr size_t kUdpHeader = 8;
constexpr unsigned kTcp = 6;
constexpr unsigned kUdp = 17;
constexpr uint16_t kFragment = 0x3FFF;  // offset, and that more follow
constexpr uint16_t kRight = 0xFFFF;     // the sum of what has a right checksum in it

}  // namespace

std::optional<Headers> find_headers(std::span<const std::byte> frame) {
  size_t at = kTagAt;
  if (frame.size() >= at + kTagBytes + 2 && net::get16(frame, at) == kTagType) {
    at += kTagBytes;
  }
  const size_t ip = at + 2;
  if (frame.size() < ip + kIpv4Header || net::get16(frame, at) != kIpv4Type) {
    return std::nullopt;
  }
  const auto first = std::to_integer<unsigned>(frame[ip]);
  const size_t header = size_t{first & 0xF} * 4;
  if (first >> 4 != 4 || header < kIpv4Header || ip + header > frame.size()) {
    return std::nullopt;
  }
  Headers found{.ip = ip, .transport = ip + header, .end = frame.size()};
  // A packet that is to be cut may be longer than its length can say.
  if (const size_t length = net::get16(frame, ip + 2); length >= header && ip + length <= frame.size()) {
    found.end = ip + length;
  }
  const auto protocol = std::to_integer<unsigned>(frame[ip + 9]);
  const bool whole = (net::get16(frame, ip + 6) & kFragment) == 0;
  found.tcp = whole && protocol == kTcp && found.transport + kTcpHeader <= found.end;
  found.udp = whole && protocol == kUdp && found.transport + kUdpHeader <= found.end;
  return found;
}

uint16_t pseudo_sum(std::span<const std::byte> frame, const Headers& headers) {
  return net::sum(frame.subspan(headers.ip + 12, 8),
                  (headers.tcp ? kTcp : kUdp) + static_cast<uint32_t>(headers.end - headers.transport));
}

size_t checksum_at(const Headers& headers) { return headers.transport + (headers.tcp ? 16 : 6); }

uint32_t look_at_checksums(std::span<const std::byte> frame) {
  const auto headers = find_headers(frame);
  if (!headers) {
    return 0;
  }
  const auto ip = frame.subspan(headers->ip, headers->transport - headers->ip);
  const uint32_t wrong = net::sum(ip) == kRight ? 0 : kIpWrong;
  if (!headers->tcp && !headers->udp) {
    return kRxIsIp | wrong;
  }
  const auto body = frame.subspan(headers->transport, headers->end - headers->transport);
  const bool none = headers->udp && net::get16(frame, checksum_at(*headers)) == 0;
  const bool right = none || net::sum(body, pseudo_sum(frame, *headers)) == kRight;
  if (headers->tcp) {
    return kRxIsTcp | wrong | (right ? 0 : kTcpWrong);
  }
  return kRxIsUdp | wrong | (right ? 0 : kUdpWrong);
}

}  // namespace lodge::rtl8139
