// Ps2Mouse: a mouse with three buttons, which guests turn into Microsoft's with a wheel and five buttons (IBM PS/2 Hardware
// Interface Technical Reference, mouse; the IntelliMouse's magic rates). Not thread-safe: the controller locks.
#pragma once

#include <deque>
#include <optional>

#include "devices/input/ps2/state.h"

namespace lodge {

class Ps2Mouse {
 public:
  explicit Ps2Mouse(const Ps2MouseState& saved);

  // From the guest.
  void command(uint8_t byte);
  // The next byte for the controller.
  [[nodiscard]] std::optional<uint8_t> take();
  // From people, as PointerSink says. Steps that the guest does not fetch add up.
  void move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons);
  void reset();
  [[nodiscard]] Ps2MouseState state() const;

 private:
  void defaults();
  void argument(uint8_t byte);
  void set_rate(uint8_t rate);
  void send(uint8_t byte);
  void report();
  void stream();

  Ps2MouseState s_;  // without `out`, which follows
  std::deque<uint8_t> out_;
};

}  // namespace lodge
