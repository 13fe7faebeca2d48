// Input as it comes from people (VNC clients, `virsh send-key`): for whichever devices the guest has.
#pragma once

#include <cstdint>

namespace lodge {

// Any thread.
class InputSink {
 public:
  virtual ~InputSink() = default;
  // `code`: Linux's numbers of keys (KEY_* of input-event-codes.h). Keys that the device does not have are left out.
  virtual void key(uint16_t code, bool down) = 0;
  // The guest listens to it, so far as that can be known.
  [[nodiscard]] virtual bool takes_keys() const { return true; }
};

class PointerSink {
 public:
  static constexpr uint8_t kLeft = 1;
  static constexpr uint8_t kRight = 2;
  static constexpr uint8_t kMiddle = 4;
  static constexpr uint8_t kSide = 8;
  static constexpr uint8_t kExtra = 16;
  virtual ~PointerSink() = default;
  // Steps since the last call, to the right, down and (wheel) towards the user; `buttons` are those that are down.
  virtual void move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) = 0;
  [[nodiscard]] virtual bool takes_steps() const { return true; }
};

// A pointer that knows places on the screen.
class TabletSink {
 public:
  static constexpr uint16_t kLast = 0x7FFF;  // the right and the lower edge
  virtual ~TabletSink() = default;
  virtual void place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) = 0;
  [[nodiscard]] virtual bool takes_places() const { return true; }
};

}  // namespace lodge
