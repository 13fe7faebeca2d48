#include "devices/input/router.h"

#include <algorithm>

namespace lodge {
namespace {

// The first that the guest listens to, or null.
template <class Sinks, class Sink>
Sink* first_that(const Sinks& sinks, bool (Sink::*takes)() const) {
  const auto it = std::ranges::find_if(sinks, [takes](const auto& one) { return (one.sink->*takes)(); });
  return it != sinks.end() ? it->sink : nullptr;
}

template <class Sinks, class Sink>
void put_in(Sinks& sinks, Sink* sink, InputRank rank) {
  if (sink != nullptr) {
    sinks.insert(std::ranges::upper_bound(sinks, rank, {}, [](const auto& one) { return one.rank; }), {sink, rank});
  }
}

template <class Sinks, class Sink>
void take_out(Sinks& sinks, const Sink* sink) {
  std::erase_if(sinks, [sink](const auto& one) { return one.sink == sink; });
}

}  // namespace

void InputRouter::add(InputSink* keyboard, PointerSink* mouse, TabletSink* tablet, InputRank rank) {
  const Lock lock(mutex_);
  put_in(keyboards_, keyboard, rank);
  put_in(mice_, mouse, rank);
  put_in(tablets_, tablet, rank);
}

void InputRouter::remove(const InputSink* keyboard, const PointerSink* mouse, const TabletSink* tablet) {
  const Lock lock(mutex_);
  take_out(keyboards_, keyboard);
  take_out(mice_, mouse);
  take_out(tablets_, tablet);
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
