#include "devices/virtio/input/pointer.h"

#include <linux/input-event-codes.h>
#include <algorithm>

namespace lodge {
namespace {

struct Button {
  uint8_t bit;
  uint16_t code;
};
constexpr std::array kButtons{Button{PointerSink::kLeft, BTN_LEFT}, Button{PointerSink::kRight, BTN_RIGHT},
                              Button{PointerSink::kMiddle, BTN_MIDDLE}, Button{PointerSink::kSide, BTN_SIDE},
                              Button{PointerSink::kExtra, BTN_EXTRA}};

}  // namespace

void VirtioPointer::add(PointerQueue::Sort sort, const PointerEvent& event) {
  if (!listening()) {
    return;
  }
  {
    const Lock lock(mutex_);
    waiting_.add(sort, event, buttons_);
  }
  wake();
}

bool VirtioPointer::take_next(std::vector<VirtioInputEvent>& out) {
  if (waiting_.empty()) {
    return false;
  }
  const PointerEvent next = waiting_.front();
  waiting_.pop_front();
  const auto add = [&out](uint16_t type, uint16_t code, int32_t value) {
    out.push_back({type, code, static_cast<uint32_t>(value)});
  };
  if (kind() == VirtioInputKind::tablet) {
    add(EV_ABS, ABS_X, next.x);
    add(EV_ABS, ABS_Y, next.y);
  }
  if (kind() == VirtioInputKind::mouse && next.x != 0) {
    add(EV_REL, REL_X, next.x);
  }
  if (kind() == VirtioInputKind::mouse && next.y != 0) {
    add(EV_REL, REL_Y, next.y);
  }
  for (const Button& button : kButtons) {
    if (((next.buttons ^ buttons_) & button.bit) != 0) {
      add(EV_KEY, button.code, (next.buttons & button.bit) != 0 ? 1 : 0);
    }
  }
  buttons_ = next.buttons;
  if (next.wheel != 0) {
    add(EV_REL, REL_WHEEL, -next.wheel);  // Linux's wheel turns away from the user
  }
  if (!out.empty()) {
    add(EV_SYN, SYN_REPORT, 0);
  }
  return true;
}

void VirtioPointer::forget() {
  waiting_.clear();
  buttons_ = 0;
}

Result<void> VirtioPointer::load(const StateReader& saved) {
  TRY_VOID(VirtioInput::load(saved));
  const auto state = TRY(saved.get<VirtioPointerState>(id()));
  const Lock lock(mutex_);
  if (!PointerQueue::is_sound({.buttons = state.buttons}) || !waiting_.load(state.waiting)) {
    return fail("saved virtio pointer '{}' is damaged", id());
  }
  buttons_ = state.buttons;
  return {};
}

void VirtioPointer::save(std::string_view id, StateWriter& out) const {
  VirtioInput::save(id, out);
  const Lock lock(mutex_);
  out.put(id, VirtioPointerState{buttons_, waiting_.events()});
}

void VirtioMouse::move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) {
  add(PointerQueue::Sort::steps, {.x = right, .y = down, .wheel = wheel, .buttons = buttons});
}

void VirtioTablet::place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) {
  add(PointerQueue::Sort::places, {.x = std::min(x, kLast), .y = std::min(y, kLast), .wheel = wheel, .buttons = buttons});
}

}  // namespace lodge
