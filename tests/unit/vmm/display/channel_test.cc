#include "vmm/display/channel.h"

#include <sys/socket.h>
#include <catch2/catch.hpp>
#include <cstring>

#include "vmm/display/rate_limit.h"

namespace lodge::display {
namespace {

template <class Packet>
bool from_viewer(const Packet& packet) {
  return parse_from_viewer(bytes_of(packet)).has_value();
}
template <class Packet>
bool from_monitor(const Packet& packet) {
  return parse_from_monitor(bytes_of(packet)).has_value();
}

TEST_CASE("Packets of the display channel are what they say, of their size") {
  CHECK(from_viewer(Refresh{.serial = 9}));
  CHECK(from_viewer(Key{.code = 30, .down = 1}));
  CHECK(from_viewer(Move{.right = -5, .down = kMaxStep, .wheel = 1, .buttons = kAllButtons}));
  CHECK(from_viewer(Position{.x = 0, .y = kMaxPosition}));
  CHECK(from_viewer(Size{.width = 1, .height = kMaxSide}));
  CHECK(from_viewer(Size{.width = 4096, .height = 4096}));
  CHECK(from_monitor(Hello{}));
  CHECK(from_monitor(Hello{.features = kTakesSizes | 0x80}));
  CHECK(from_monitor(Frame{.width = 4096, .height = 4096, .first = 0, .last = 4096}));
  CHECK(from_monitor(Pointer{.absolute = 1}));
  const Key key{.code = 30};
  for (size_t size = 0; size < sizeof key; ++size) {
    CHECK(!parse_from_viewer(bytes_of(key).first(size)));
  }
  CHECK(!from_viewer(Hello{}));
  CHECK(!from_monitor(Refresh{}));
  Move move;
  move.type = Type::position;
  CHECK(!from_viewer(move));
}

TEST_CASE("Packets beyond their limits are refused") {
  CHECK(!from_viewer(Key{.code = 0}));
  CHECK(!from_viewer(Key{.code = kMaxKey + 1}));
  CHECK(!from_viewer(Key{.code = 30, .down = 2}));
  CHECK(!from_viewer(Move{.right = kMaxStep + 1}));
  CHECK(!from_viewer(Move{.down = INT32_MIN}));
  CHECK(!from_viewer(Move{.wheel = INT32_MAX}));
  CHECK(!from_viewer(Move{.buttons = kAllButtons + 1U}));
  CHECK(!from_viewer(Position{.x = kMaxPosition + 1}));
  CHECK(!from_viewer(Position{.buttons = 0x80}));
  CHECK(!from_viewer(Size{.width = 0, .height = 1}));
  CHECK(!from_viewer(Size{.width = 1, .height = 0}));
  CHECK(!from_viewer(Size{.width = kMaxSide + 1, .height = 1}));
  CHECK(!from_viewer(Size{.width = 4097, .height = 4096}));
  CHECK(!from_viewer(Size{.width = UINT32_MAX, .height = UINT32_MAX}));
  CHECK(!from_monitor(Size{.width = 1, .height = 1}));
  CHECK(!from_monitor(Hello{.version = 2}));
  CHECK(!from_monitor(Frame{.width = 0, .height = 1}));
  CHECK(!from_monitor(Frame{.width = 4097, .height = 4096}));
  CHECK(!from_monitor(Frame{.width = kMaxSide + 1, .height = 1}));
  CHECK(!from_monitor(Frame{.width = 10, .height = 10, .first = 2, .last = 1}));
  CHECK(!from_monitor(Frame{.width = 10, .height = 10, .first = 2, .last = 11}));
  CHECK(!from_monitor(Frame{.width = 10, .height = 10, .resized = 2}));
  CHECK(!from_monitor(Pointer{.absolute = 2}));
}

TEST_CASE("A packet comes with its descriptor; what is too long is told as such") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  const Fd one(ends[0]);
  Fd other(ends[1]);
  std::array<std::byte, kMaxPacket> buffer;
  CHECK(!receive_packet(one.get(), buffer)->has_value());
  REQUIRE(send_packet(other.get(), bytes_of(Hello{}), other.get()));
  auto received = receive_packet(one.get(), buffer);
  REQUIRE((received && received->has_value()));
  CHECK((*received)->size == sizeof(Hello));
  CHECK((*received)->descriptor.valid());
  CHECK(std::memcmp(buffer.data(), bytes_of(Hello{}).data(), sizeof(Hello)) == 0);
  const std::array<std::byte, 1000> large{};
  REQUIRE(send_packet(other.get(), large));
  received = receive_packet(one.get(), buffer);
  CHECK((*received)->size == large.size());
  (*received)->descriptor.reset();
  other.reset();
  received = receive_packet(one.get(), buffer);
  CHECK((received && (*received)->size == 0));
  CHECK(!send_packet(one.get(), bytes_of(Refresh{})));
}

TEST_CASE("A rate limit lets a burst through, then so many a second") {
  RateLimit limit(100);
  auto now = RateLimit::Time(std::chrono::seconds(5));
  for (int i = 0; i < 100; ++i) {
    CHECK(limit.admit(now));
  }
  CHECK(!limit.admit(now));
  now += std::chrono::milliseconds(100);
  for (int i = 0; i < 10; ++i) {
    CHECK(limit.admit(now));
  }
  CHECK(!limit.admit(now));
  now += std::chrono::hours(1);
  CHECK(limit.room(now) == 1.0);
  CHECK(limit.admit(now - std::chrono::hours(2)));  // a clock that goes back
}

}  // namespace
}  // namespace lodge::display
