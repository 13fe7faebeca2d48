// Ps2Keyboard: a keyboard as its controller sees it (IBM PS/2 Hardware Interface Technical Reference, keyboard). Not
// thread-safe: the controller locks.
#pragma once

#include <deque>
#include <optional>

#include "devices/input/ps2/state.h"

namespace lodge {

class Ps2Keyboard {
 public:
  explicit Ps2Keyboard(const Ps2KeyboardState& saved);

  // From the guest.
  void command(uint8_t byte);
  // The next byte for the controller.
  [[nodiscard]] std::optional<uint8_t> take();
  // From people. A key that finds no room is not pressed; it is always released.
  void key(uint16_t code, bool down);
  void reset();
  [[nodiscard]] Ps2KeyboardState state() const;

 private:
  void defaults();
  void argument(uint8_t byte);
  void send(uint8_t byte);

  Ps2KeyboardState s_;  // without `out`, which follows
  std::deque<uint8_t> out_;
};

}  // namespace lodge
