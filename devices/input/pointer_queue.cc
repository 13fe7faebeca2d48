#include "devices/input/pointer_queue.h"

#include <algorithm>

namespace lodge {
namespace {

constexpr int32_t kMost = 0x7FFFF;  // that adds up
constexpr uint8_t kAllButtons = 0x1F;

int32_t sum(int32_t a, int32_t b) { return static_cast<int32_t>(std::clamp<int64_t>(int64_t{a} + b, -kMost, kMost)); }

}  // namespace

bool PointerQueue::is_sound(const PointerEvent& event) {
  const auto fits = [](int32_t value) { return value >= -kMost && value <= kMost; };
  return fits(event.x) && fits(event.y) && fits(event.wheel) && event.buttons <= kAllButtons;
}

bool PointerQueue::load(const std::vector<PointerEvent>& events) {
  if (events.size() > kMaxWaiting || !std::ranges::all_of(events, is_sound)) {
    return false;
  }
  waiting_.assign(events.begin(), events.end());
  return true;
}

void PointerQueue::add(Sort sort, PointerEvent event, uint8_t told) {
  event.buttons &= kAllButtons;
  event.wheel = sum(event.wheel, 0);
  event.pressed = event.buttons != (waiting_.empty() ? told : waiting_.back().buttons);
  const bool full = waiting_.size() >= kMaxWaiting;
  if (waiting_.empty() || (!full && (event.pressed || waiting_.back().pressed))) {
    event.x = sum(event.x, 0);
    event.y = sum(event.y, 0);
    waiting_.push_back(event);
    return;
  }
  PointerEvent& back = waiting_.back();
  back.x = sort == Sort::places ? event.x : sum(back.x, event.x);
  back.y = sort == Sort::places ? event.y : sum(back.y, event.y);
  back.wheel = sum(back.wheel, event.wheel);
  back.buttons = event.buttons;
  back.pressed = back.pressed || event.pressed;
}

}  // namespace lodge
