#include "devices/input/router.h"

#include <algorithm>

namespace lodge {
namespace {

// The first that the guest listens to, or null.
template <class Sink>
Sink* first_that(const std::vector<Sink*>& sinks, bool (Sink::*takes)() const) {
  const auto it = std::ranges::find_if(sinks, [takes](const Sink* sink) { return (sink->*takes)(); });
  return it != sinks.end() ? *it : nullptr;
}

}  // namespace

void InputRouter::add(InputSink* keyboard, PointerSink* mouse, TabletSink* tablet) {
  const Lock lock(mutex_);
  if (keyboard != nullptr) {
    keyboards_.push_back(keyboard);
  }
  if (mouse != nullptr) {
    mice_.push_back(mouse);
  }
  if (tablet != nullptr) {
    tablets_.push_back(tablet);
  }
}

void InputRouter::remove(const InputSink* keyboard, const PointerSink* mouse, const TabletSink* tablet) {
  const Lock lock(mutex_);
  std::erase(keyboards_, keyboard);
  std::erase(mice_, mouse);
  std::erase(tablets_, tablet);
  std::erase_if(held_, [keyboard](const auto& key) { return key.second == keyboard; });
}

bool InputRouter::has_keyboard() const {
  const Lock lock(mutex_);
  return !keyboards_.empty();
}

void InputRouter::key(uint16_t code, bool down) {
  const Lock lock(mutex_);
  if (const auto it = held_.find(code); it != held_.end()) {
    it->second->key(code, down);
    if (!down) {
      held_.erase(it);
    }
    return;
  }
  InputSink* const keyboard = first_that(keyboards_, &InputSink::takes_keys);
  if (keyboard == nullptr) {
    return;
  }
  keyboard->key(code, down);
  if (down) {
    held_[code] = keyboard;
  }
}

bool InputRouter::takes_keys() const {
  const Lock lock(mutex_);
  return first_that(keyboards_, &InputSink::takes_keys) != nullptr;
}

void InputRouter::move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) {
  const Lock lock(mutex_);
  if (PointerSink* const mouse = first_that(mice_, &PointerSink::takes_steps)) {
    mouse->move(right, down, wheel, buttons);
  }
}

bool InputRouter::takes_steps() const {
  const Lock lock(mutex_);
  return first_that(mice_, &PointerSink::takes_steps) != nullptr;
}

void InputRouter::place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) {
  const Lock lock(mutex_);
  if (TabletSink* const tablet = first_that(tablets_, &TabletSink::takes_places)) {
    tablet->place(x, y, wheel, buttons);
  }
}

bool InputRouter::takes_places() const {
  const Lock lock(mutex_);
  return first_that(tablets_, &TabletSink::takes_places) != nullptr;
}

}  // namespace lodge
