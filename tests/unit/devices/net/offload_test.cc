// Checksums and segmentation in software, against sums that are computed here the long way.
#include <catch2/catch.hpp>
#include <numeric>

#include "devices/net/offload.h"

namespace lodge::net {
namespace {

using Frame = std::vector<std::byte>;

// An IPv4 or IPv6 TCP frame with `payload` bytes; lengths and checksums are zero, as drivers leave them.
Frame tcp_frame(bool ipv6, size_t payload) {
  const size_t ip = 14;
  const size_t tcp = ip + (ipv6 ? 40 : 20);
  Frame frame(tcp + 20 + payload);
  put16(frame, 12, ipv6 ? 0x86DD : 0x0800);
  frame[ip] = std::byte{static_cast<uint8_t>(ipv6 ? 0x60 : 0x45)};
  frame[ip + (ipv6 ? 6 : 9)] = std::byte{6};
  put16(frame, ip + 4, ipv6 ? 0 : 0x1234);
  for (size_t i = ip + (ipv6 ? 8 : 12); i < tcp; ++i) {
    frame[i] = static_cast<std::byte>(i * 7);
  }
  put16(frame, tcp + 4, 0x0001);
  put16(frame, tcp + 6, 0xFFF0);
  frame[tcp + 12] = std::byte{0x50};
  frame[tcp + 13] = std::byte{0x19};  // FIN, PSH, ACK
  for (size_t i = tcp + 20; i < frame.size(); ++i) {
    frame[i] = static_cast<std::byte>(i * 13);
  }
  return frame;
}

Segmentation plan(bool ipv6, size_t size) {
  const size_t transport = ipv6 ? 54U : 34U;
  return {.ip = 14, .ipv6 = ipv6, .transport = transport, .tcp = true, .headers = transport + 20, .size = size};
}

// The sum of pseudo header and TCP: all ones when the checksum is right.
uint16_t tcp_sum(std::span<const std::byte> frame, bool ipv6) {
  const size_t ip = 14;
  const size_t tcp = ip + (ipv6 ? 40 : 20);
  uint64_t total = 6 + frame.size() - tcp;
  for (size_t i = ip + (ipv6 ? 8 : 12); i < frame.size(); i += 2) {
    total += std::to_integer<uint64_t>(frame[i]) << 8 | (i + 1 < frame.size() ? std::to_integer<uint64_t>(frame[i + 1]) : 0);
  }
  while (total > 0xFFFF) {
    total = (total & 0xFFFF) + (total >> 16);
  }
  return static_cast<uint16_t>(total);
}

TEST_CASE("the Internet checksum, of RFC 1071's example") {
  const std::array example{std::byte{0x00}, std::byte{0x01}, std::byte{0xF2}, std::byte{0x03},
                           std::byte{0xF4}, std::byte{0xF5}, std::byte{0xF6}, std::byte{0xF7}};
  CHECK(sum(example) == 0xDDF2);
  CHECK(sum(std::span(example).first(7)) == 0xDCFB);
  Frame frame(10);
  std::copy(example.begin(), example.end(), frame.begin());
  CHECK(put_checksum(frame, 0, 8, 8));
  CHECK(get16(frame, 8) == 0x220D);
  CHECK_FALSE(put_checksum(frame, 0, 8, 9));
  CHECK_FALSE(put_checksum(frame, 0, 11, 8));
  CHECK_FALSE(put_checksum(frame, 8, 8, 8));
}

TEST_CASE("a large frame becomes segments that are whole frames themselves") {
  for (const bool ipv6 : {false, true}) {
    const Frame frame = tcp_frame(ipv6, 3001);
    const Segmentation what = plan(ipv6, 1000);
    REQUIRE(is_sound(what, frame.size()));
    std::vector<Frame> sent;
    Frame scratch(2000);
    const Segments done = segment(frame, what, scratch, 0, [&sent](std::span<const std::byte> one) {
      sent.emplace_back(one.begin(), one.end());
      return true;
    });
    CHECK(done.sent == 4);
    CHECK(done.all == 4);
    REQUIRE(sent.size() == 4);
    Frame payload;
    for (size_t i = 0; i < sent.size(); ++i) {
      const Frame& one = sent[i];
      CHECK(tcp_sum(one, ipv6) == 0xFFFF);
      CHECK(get16(one, ipv6 ? 18 : 16) == one.size() - (ipv6 ? 54 : 14));
      if (!ipv6) {
        CHECK(sum(std::span(one).subspan(14, 20)) == 0xFFFF);
        CHECK(get16(one, 18) == 0x1234 + i);
      }
      const uint32_t sequence = uint32_t{get16(one, what.transport + 4)} << 16 | get16(one, what.transport + 6);
      CHECK(sequence == 0x1FFF0 + i * 1000);
      CHECK(one[what.transport + 13] == std::byte{static_cast<uint8_t>(i == 3 ? 0x19 : 0x10)});
      payload.insert(payload.end(), one.begin() + static_cast<ptrdiff_t>(what.headers), one.end());
    }
    CHECK(payload == Frame(frame.begin() + static_cast<ptrdiff_t>(what.headers), frame.end()));
  }
}

TEST_CASE("segments that could not be sent are sent later, and none twice") {
  const Frame frame = tcp_frame(false, 2500);
  const Segmentation what = plan(false, 1000);
  Frame scratch(2000);
  int calls = 0;
  const Segments first = segment(frame, what, scratch, 0, [&calls](auto) { return ++calls < 2; });
  CHECK(first.sent == 1);
  calls = 0;
  const Segments rest = segment(frame, what, scratch, first.sent, [&calls](auto) { return ++calls < 5; });
  CHECK(rest.sent == 3);
  CHECK(calls == 2);
}

TEST_CASE("headers that are not where they are said to be") {
  Segmentation what = plan(false, 1000);
  CHECK(is_sound(what, 1500));
  CHECK_FALSE(is_sound(what, 54));
  CHECK_FALSE(is_sound(what, kMaxUnsegmented + 1));
  what.size = 0;
  CHECK_FALSE(is_sound(what, 1500));
  what = plan(false, 1000);
  what.transport = 20;
  CHECK_FALSE(is_sound(what, 1500));
  what = plan(false, 1000);
  what.headers = 40;
  CHECK_FALSE(is_sound(what, 1500));
}

}  // namespace
}  // namespace lodge::net
