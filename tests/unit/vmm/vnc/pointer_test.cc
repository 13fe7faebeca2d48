#include "vmm/vnc/pointer.h"

#include <catch2/catch.hpp>

#include "devices/input/input.h"

namespace lodge::vnc {
namespace {

struct Fixture {
  PointerTranslator pointer;
  display::Move move(uint8_t mask, int32_t x, int32_t y) {
    const auto event = pointer.event(mask, x, y, 640, 480);
    REQUIRE(event);
    return std::get<display::Move>(*event);
  }
};

TEST_CASE("A mouse moves by what the pointer moved since the last event; the first only says where it is") {
  Fixture f;
  auto move = f.move(0, 100, 200);
  CHECK((move.right == 0 && move.down == 0 && move.buttons == 0));
  move = f.move(1, 103, 190);
  CHECK((move.right == 3 && move.down == -10 && move.buttons == PointerSink::kLeft));
  move = f.move(2 | 4, 103, 190);
  CHECK((move.right == 0 && move.buttons == (PointerSink::kMiddle | PointerSink::kRight)));
}

TEST_CASE("The wheel turns when its button goes down") {
  Fixture f;
  CHECK(f.move(8, 0, 0).wheel == -1);
  CHECK(f.move(8, 0, 0).wheel == 0);
  CHECK(f.move(0, 0, 0).wheel == 0);
  const auto move = f.move(16 | 1, 0, 0);
  CHECK((move.wheel == 1 && move.buttons == PointerSink::kLeft));
}

TEST_CASE("A client that knows a mouse sends steps") {
  Fixture f;
  f.pointer.set_client_steps(true);
  auto move = f.move(0, 0x7FFF + 7, 0x7FFF - 9);
  CHECK((move.right == 7 && move.down == -9));
  move = f.move(0, 0x7FFF, 0x7FFF);
  CHECK((move.right == 0 && move.down == 0));
  move = f.move(0, 0xFFFF, 0);
  CHECK((move.right == display::kMaxStep && move.down == -display::kMaxStep));
}

TEST_CASE("Moves that may wait add up") {
  Fixture f;
  (void)f.move(0, 10, 10);
  CHECK(!f.pointer.event(0, 12, 12, 640, 480, true));
  CHECK(!f.pointer.event(0, 14, 11, 640, 480, true));
  const auto pressed = f.pointer.event(1, 15, 10, 640, 480, true);  // a button never waits
  REQUIRE(pressed);
  CHECK(std::get<display::Move>(*pressed).right == 5);
  f.pointer.set_client_steps(true);
  CHECK(!f.pointer.event(1, 0x7FFF + 2, 0x7FFF, 640, 480, true));
  CHECK(f.move(1, 0x7FFF + 3, 0x7FFF).right == 5);
}

TEST_CASE("An absolute pointer is told places") {
  PointerTranslator pointer;
  pointer.set_absolute(true);
  const auto event = pointer.event(1, 639, 0, 640, 480);
  REQUIRE(event);
  const auto position = std::get<display::Position>(*event);
  CHECK((position.x == display::kMaxPosition && position.y == 0 && position.buttons == PointerSink::kLeft));
  const auto beyond = pointer.event(0, 65535, 65535, 1, 1);
  CHECK(std::get<display::Position>(*beyond).y == display::kMaxPosition);
}

}  // namespace
}  // namespace lodge::vnc
