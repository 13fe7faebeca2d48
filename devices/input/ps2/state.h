// What the keyboard controller, the keyboard and the mouse remember.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/record.h"

namespace lodge {

struct Ps2KeyboardState {
  uint8_t scanning = 1;
  uint8_t scancode_set = 2;
  uint8_t leds = 0;
  uint8_t typematic = 0x2B;  // 10.9 a second after half a second
  uint8_t command = 0;       // whose argument comes next; 0: none
  uint8_t last_sent = 0;
  std::vector<uint8_t> out;  // to the controller
  friend bool operator==(const Ps2KeyboardState&, const Ps2KeyboardState&) = default;
};

struct Ps2MouseState {
  uint8_t type = 0;  // 0: three buttons, 3: and a wheel, 4: and two more buttons
  uint8_t reporting = 0;
  uint8_t remote = 0;
  uint8_t wrap = 0;
  uint8_t scaling = 0;     // 1: 2 to 1
  uint8_t resolution = 2;  // 4 counts a millimetre
  uint8_t rate = 100;
  std::array<uint8_t, 3> rates{};  // the last ones: certain three make it another type
  uint8_t buttons = 0;
  uint8_t command = 0;
  uint8_t last_sent = 0;
  int32_t right = 0;  // not reported yet
  int32_t down = 0;
  int32_t wheel = 0;
  bool changed = false;  // there is something to report
  std::vector<uint8_t> out;
  friend bool operator==(const Ps2MouseState&, const Ps2MouseState&) = default;
};

struct I8042State {
  uint8_t command_byte = 0x47;  // translation, both interrupts, self-test passed
  uint8_t output_port = 0x03;   // not in reset, A20 open
  uint8_t command = 0;          // whose argument comes next at port 60; 0: none
  uint8_t output = 0;
  uint8_t output_full = 0;   // 1: from the keyboard or the controller, 2: from the mouse
  uint8_t after_break = 0;   // translation has seen F0
  uint8_t last_written = 0;  // 1: at port 64
  std::array<uint8_t, 32> memory{};
  std::vector<uint8_t> answers;  // of the controller itself: byte, then 1 or 2 as above
  friend bool operator==(const I8042State&, const I8042State&) = default;
};

template <>
struct Schema<Ps2KeyboardState> {
  static constexpr std::string_view name = "ps2-keyboard";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "scanning", &Ps2KeyboardState::scanning),
                                            field(2, "scancode-set", &Ps2KeyboardState::scancode_set),
                                            field(3, "leds", &Ps2KeyboardState::leds),
                                            field(4, "typematic", &Ps2KeyboardState::typematic),
                                            field(5, "command", &Ps2KeyboardState::command),
                                            field(6, "last-sent", &Ps2KeyboardState::last_sent),
                                            field(7, "out", &Ps2KeyboardState::out)};
};

template <>
struct Schema<Ps2MouseState> {
  static constexpr std::string_view name = "ps2-mouse";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "type", &Ps2MouseState::type),
                                            field(2, "reporting", &Ps2MouseState::reporting),
                                            field(3, "remote", &Ps2MouseState::remote),
                                            field(4, "wrap", &Ps2MouseState::wrap),
                                            field(5, "scaling", &Ps2MouseState::scaling),
                                            field(6, "resolution", &Ps2MouseState::resolution),
                                            field(7, "rate", &Ps2MouseState::rate),
                                            field(8, "rates", &Ps2MouseState::rates),
                                            field(9, "buttons", &Ps2MouseState::buttons),
                                            field(10, "command", &Ps2MouseState::command),
                                            field(11, "last-sent", &Ps2MouseState::last_sent),
                                            field(12, "right", &Ps2MouseState::right),
                                            field(13, "down", &Ps2MouseState::down),
                                            field(14, "wheel", &Ps2MouseState::wheel),
                                            field(15, "changed", &Ps2MouseState::changed),
                                            field(16, "out", &Ps2MouseState::out)};
};

template <>
struct Schema<I8042State> {
  static constexpr std::string_view name = "i8042";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "command-byte", &I8042State::command_byte),
                                            field(2, "output-port", &I8042State::output_port),
                                            field(3, "command", &I8042State::command),
                                            field(4, "output", &I8042State::output),
                                            field(5, "output-full", &I8042State::output_full),
                                            field(6, "after-break", &I8042State::after_break),
                                            field(7, "last-written", &I8042State::last_written),
                                            field(8, "memory", &I8042State::memory),
                                            field(9, "answers", &I8042State::answers)};
};

}  // namespace lodge
