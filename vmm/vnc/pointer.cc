#include "vmm/vnc/pointer.h"

#include <algorithm>

#include "devices/input/input.h"

namespace lodge::vnc {
namespace {

constexpr uint8_t kRfbLeft = 1;
constexpr uint8_t kRfbMiddle = 2;
constexpr uint8_t kRfbRight = 4;
constexpr uint8_t kRfbWheelUp = 8;
constexpr uint8_t kRfbWheelDown = 16;
constexpr uint8_t kRfbBack = 128;

uint8_t buttons_of(uint8_t mask) {
  uint8_t buttons = 0;
  buttons |= (mask & kRfbLeft) != 0 ? PointerSink::kLeft : 0;
  buttons |= (mask & kRfbMiddle) != 0 ? PointerSink::kMiddle : 0;
  buttons |= (mask & kRfbRight) != 0 ? PointerSink::kRight : 0;
  buttons |= (mask & kRfbBack) != 0 ? PointerSink::kSide : 0;
  return buttons;
}

uint16_t scaled(int32_t at, uint32_t size) {
  const int64_t last = std::max<int64_t>(int64_t{size} - 1, 1);
  return static_cast<uint16_t>(std::clamp<int64_t>(at, 0, last) * display::kMaxPosition / last);
}

int32_t step(int32_t from_last) { return std::clamp(from_last, -display::kMaxStep, display::kMaxStep); }

}  // namespace

std::optional<PointerTranslator::Event> PointerTranslator::event(uint8_t mask, int32_t x, int32_t y, uint32_t width,
                                                                 uint32_t height, bool spare) {
  const auto pressed = static_cast<uint8_t>(mask & ~mask_);
  const int32_t wheel = ((pressed & kRfbWheelDown) != 0 ? 1 : 0) - ((pressed & kRfbWheelUp) != 0 ? 1 : 0);
  const bool wait = spare && mask == mask_;
  mask_ = mask;
  if (absolute_) {
    if (wait) {
      return std::nullopt;
    }
    display::Position position;
    position.x = scaled(x, width);
    position.y = scaled(y, height);
    position.wheel = wheel;
    position.buttons = buttons_of(mask);
    return position;
  }
  if (client_steps_) {
    pending_.x = step(pending_.x + x - kNoStep);
    pending_.y = step(pending_.y + y - kNoStep);
  } else {
    const Place last = last_.value_or(Place{x, y});
    if (!last_ || !wait) {
      last_ = Place{x, y};
    }
    pending_ = {step(x - last.x), step(y - last.y)};
  }
  if (wait) {
    return std::nullopt;
  }
  display::Move move;
  move.right = pending_.x;
  move.down = pending_.y;
  move.wheel = wheel;
  move.buttons = buttons_of(mask);
  pending_ = {};
  return move;
}

}  // namespace lodge::vnc
