// The keyboard controller, its keyboard and its mouse against the PS/2 reference's tables.
#include <linux/input-event-codes.h>
#include <catch2/catch.hpp>

#include "devices/input/ps2/controller.h"
#include "devices/input/ps2/scancodes.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

using Bytes = std::vector<int>;

struct Pc {
  explicit Pc(const StateReader* saved = nullptr) : controller(must(I8042::create(*machine.env, saved))) {}
  TestMachine machine;
  std::unique_ptr<I8042> controller;

  int status() { return static_cast<int>(machine.in(0x64)); }
  void command(uint8_t byte) { machine.out(0x64, byte); }
  void data(uint8_t byte) { machine.out(0x60, byte); }
  void mouse(uint8_t byte) {
    command(0xD4);
    data(byte);
  }
  // All that waits, from the keyboard (or the controller) or from the mouse.
  Bytes read(bool from_mouse = false) {
    Bytes bytes;
    while ((status() & 1) != 0) {
      CHECK(((status() & 0x20) != 0) == from_mouse);
      bytes.push_back(static_cast<int>(machine.in(0x60)));
    }
    return bytes;
  }
  Bytes ask(uint8_t byte) {
    command(byte);
    return read();
  }
  void press(uint16_t code) {
    controller->key(code, true);
    controller->key(code, false);
  }
};

Bytes sent(uint16_t code, bool down, uint8_t set) {
  const ps2::Sequence sequence = ps2::scancodes(code, down, set);
  return {sequence.bytes.begin(), sequence.bytes.begin() + sequence.size};
}

}  // namespace

TEST_CASE("i8042: self-test, tests of the ports, ports and memory") {
  Pc pc;
  CHECK(pc.ask(0xAA) == Bytes{0x55});
  CHECK(pc.ask(0xAB) == Bytes{0});
  CHECK(pc.ask(0xA9) == Bytes{0});
  CHECK(pc.ask(0xC0) == Bytes{0x80});
  CHECK((pc.ask(0xD0)[0] & 3) == 3);
  pc.command(0x65);
  pc.data(0x99);
  CHECK(pc.ask(0x25) == Bytes{0x99});
  pc.command(0x60);
  pc.data(0x61);
  CHECK(pc.ask(0x20) == Bytes{0x61});
  CHECK((pc.status() & 0x1C) == (0x10 | 0x08));
  pc.data(0xF4);
  CHECK((pc.status() & 0x08) == 0);
}

TEST_CASE("i8042: disabling keyboard and mouse holds their bytes back") {
  Pc pc;
  pc.command(0xAD);
  pc.press(KEY_A);
  CHECK(pc.read().empty());
  pc.command(0xAE);
  CHECK(pc.read() == Bytes{0x1E, 0x9E});
  pc.mouse(0xF4);
  CHECK(pc.read(true) == Bytes{0xFA});
  pc.command(0xA7);
  pc.controller->move(1, 0, 0, 0);
  CHECK(pc.read().empty());
  pc.command(0xA8);
  CHECK(pc.read(true) == Bytes{0x08, 1, 0});
}

TEST_CASE("i8042: interrupts follow the output buffer and the command byte") {
  Pc pc;
  auto& keyboard = pc.machine.lines[1];
  auto& mouse = pc.machine.lines[12];
  pc.controller->key(KEY_ESC, true);
  CHECK(keyboard.level);
  CHECK_FALSE(mouse.level);
  CHECK(pc.machine.in(0x60) == 1);
  CHECK_FALSE(keyboard.level);
  pc.press(KEY_ESC);
  CHECK(keyboard.raised == 2);
  (void)pc.machine.in(0x60);
  CHECK(keyboard.raised == 3);  // a new edge for each byte
  (void)pc.machine.in(0x60);
  pc.mouse(0xF2);
  CHECK(mouse.level);
  CHECK(pc.read(true) == Bytes{0xFA, 0});
  CHECK_FALSE(mouse.level);
  pc.command(0x60);
  pc.data(0);
  pc.press(KEY_ESC);
  CHECK_FALSE(keyboard.level);
}

TEST_CASE("i8042: both ways to pull the reset line; bytes as if from the devices") {
  Pc pc;
  pc.command(0xFE);
  CHECK(pc.machine.power.size() == 1);
  pc.command(0xD1);
  pc.data(0x02);
  REQUIRE(pc.machine.power.size() == 2);
  CHECK(pc.machine.power[1].first == PowerEvent::reset);
  pc.command(0xD1);
  pc.data(0x03);
  pc.command(0xFF);
  CHECK(pc.machine.power.size() == 2);
  pc.command(0xD2);
  pc.data(0x42);
  CHECK(pc.read() == Bytes{0x42});
  pc.command(0xD3);
  pc.data(0x43);
  CHECK(pc.read(true) == Bytes{0x43});
}

TEST_CASE("keyboard: commands and their answers") {
  Pc pc;
  const auto ask = [&](std::initializer_list<uint8_t> bytes) {
    for (const uint8_t byte : bytes) {
      pc.data(byte);
    }
    return pc.read();
  };
  CHECK(ask({0xFF}) == Bytes{0xFA, 0xAA});
  CHECK(ask({0xF2}) == Bytes{0xFA, 0xAB, 0x41});  // translated
  CHECK(ask({0xEE}) == Bytes{0xEE});
  CHECK(ask({0xED}) == Bytes{0xFA});
  CHECK(ask({0x07}) == Bytes{0xFA});
  CHECK(ask({0xF3}) == Bytes{0xFA});
  CHECK(ask({0x20}) == Bytes{0xFA});
  CHECK(ask({0xF0}) == Bytes{0xFA});
  CHECK(ask({0x00}) == Bytes{0xFA, 0x41});  // 2, translated
  CHECK(ask({0xFE}) == Bytes{0x41});
  CHECK(ask({0x12}) == Bytes{0xFE});
  CHECK(ask({0xF5}) == Bytes{0xFA});
  pc.press(KEY_A);
  CHECK(pc.read().empty());
  CHECK(ask({0xF4}) == Bytes{0xFA});
  pc.press(KEY_A);
  CHECK(pc.read() == Bytes{0x1E, 0x9E});
}

TEST_CASE("keyboard: without translation the guest sees set 2, or set 1 if it asks for it") {
  Pc pc;
  pc.command(0x60);
  pc.data(0x01);
  pc.press(KEY_RIGHTCTRL);
  CHECK(pc.read() == Bytes{0xE0, 0x14, 0xE0, 0xF0, 0x14});
  pc.data(0xF0);
  pc.data(1);
  (void)pc.read();
  pc.press(KEY_RIGHTCTRL);
  CHECK(pc.read() == Bytes{0xE0, 0x1D, 0xE0, 0x9D});
}

TEST_CASE("keyboard: scan codes of both sets") {
  CHECK(sent(KEY_Q, true, 2) == Bytes{0x15});
  CHECK(sent(KEY_Q, false, 2) == Bytes{0xF0, 0x15});
  CHECK(sent(KEY_F7, true, 2) == Bytes{0x83});
  CHECK(sent(KEY_F12, true, 2) == Bytes{0x07});
  CHECK(sent(KEY_102ND, true, 2) == Bytes{0x61});
  CHECK(sent(KEY_LEFTMETA, true, 2) == Bytes{0xE0, 0x1F});
  CHECK(sent(KEY_KPENTER, false, 2) == Bytes{0xE0, 0xF0, 0x5A});
  CHECK(sent(KEY_SYSRQ, true, 2) == Bytes{0xE0, 0x12, 0xE0, 0x7C});
  CHECK(sent(KEY_SYSRQ, false, 2) == Bytes{0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12});
  CHECK(sent(KEY_SYSRQ, true, 1) == Bytes{0xE0, 0x2A, 0xE0, 0x37});
  CHECK(sent(KEY_PAUSE, true, 2) == Bytes{0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77});
  CHECK(sent(KEY_PAUSE, true, 1) == Bytes{0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5});
  CHECK(sent(KEY_PAUSE, false, 2).empty());
  CHECK(sent(KEY_BRIGHTNESSUP, true, 2).empty());
  // What the controller makes of set 2 is set 1, for every key.
  for (uint16_t code = 1; code < 256; ++code) {
    for (const bool down : {true, false}) {
      Bytes translated;
      int broken = 0;
      for (const int byte : sent(code, down, 2)) {
        if (byte == 0xF0) {
          broken = 0x80;
        } else {
          translated.push_back(ps2::to_set1(static_cast<uint8_t>(byte)) | broken);
          broken = 0;
        }
      }
      CHECK(translated == sent(code, down, 1));
    }
  }
}

TEST_CASE("keyboard: what does not fit is not pressed, but what is down can always go up") {
  Pc pc;
  for (int i = 0; i < 1000; ++i) {
    pc.controller->key(KEY_A, true);
  }
  pc.controller->key(KEY_A, false);
  const Bytes bytes = pc.read();
  CHECK(bytes.size() < 200);
  CHECK(bytes.back() == 0x9E);
}

TEST_CASE("mouse: reset, identity, the wheel's and the five buttons' magic rates") {
  Pc pc;
  pc.mouse(0xFF);
  CHECK(pc.read(true) == Bytes{0xFA, 0xAA, 0});
  const auto rates = [&](std::initializer_list<uint8_t> three) {
    for (const uint8_t rate : three) {
      pc.mouse(0xF3);
      pc.mouse(rate);
    }
    (void)pc.read(true);
    pc.mouse(0xF2);
    return pc.read(true);
  };
  CHECK(rates({100, 200, 80}) == Bytes{0xFA, 0});
  CHECK(rates({200, 100, 80}) == Bytes{0xFA, 3});
  CHECK(rates({200, 200, 80}) == Bytes{0xFA, 4});
  pc.mouse(0xF4);
  (void)pc.read(true);
  pc.controller->move(-1, -2, 1, PointerSink::kLeft | PointerSink::kExtra);
  CHECK(pc.read(true) == Bytes{0x08 | 1 | 0x10, 0xFF, 2, 0x21});
}

TEST_CASE("mouse: status, remote mode, wrapping, packets of what has added up") {
  Pc pc;
  pc.mouse(0xE8);
  pc.mouse(3);
  pc.mouse(0xE7);
  pc.mouse(0xF4);
  (void)pc.read(true);
  pc.mouse(0xE9);
  CHECK(pc.read(true) == Bytes{0xFA, 0x30, 3, 100});
  pc.mouse(0xF0);
  (void)pc.read(true);
  pc.controller->move(300, 5, 0, PointerSink::kRight);
  CHECK(pc.read(true).empty());
  pc.mouse(0xEB);
  CHECK(pc.read(true) == Bytes{0xFA, 0x08 | 2 | 0x20, 255, 0xFB});
  pc.mouse(0xEB);
  CHECK(pc.read(true) == Bytes{0xFA, 0x08 | 2, 45, 0});
  pc.mouse(0xEA);
  pc.mouse(0xEE);
  (void)pc.read(true);
  pc.mouse(0x5A);
  CHECK(pc.read(true) == Bytes{0x5A});
  pc.mouse(0xEC);
  CHECK(pc.read(true) == Bytes{0xFA});
  pc.mouse(0x01);
  CHECK(pc.read(true) == Bytes{0xFC});
  for (int i = 0; i < 10000; ++i) {
    pc.controller->move(1 << 20, 0, 0, 0);
  }
  CHECK(pc.read(true).size() < 3 * 600);  // what adds up is bounded
}

TEST_CASE("i8042: saved in the middle of everything") {
  Pc pc;
  pc.command(0xAD);
  pc.press(KEY_HOME);
  pc.mouse(0xF3);
  StateWriter out;
  pc.controller->save(out);
  const StateReader saved = must(StateReader::parse(out.bytes()));
  Pc again(&saved);
  CHECK(again.read(true) == Bytes{0xFA});
  again.mouse(200);  // the rate that was still to come
  CHECK(again.read(true) == Bytes{0xFA});
  again.command(0xAE);
  CHECK(again.read() == Bytes{0xE0, 0x47, 0xE0, 0xC7});
  again.controller->reset();
  CHECK(again.ask(0x20) == Bytes{0x47});
}

}  // namespace lodge::test
