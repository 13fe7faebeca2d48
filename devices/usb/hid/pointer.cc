#include "devices/usb/hid/pointer.h"

#include <algorithm>

namespace lodge {
namespace {

constexpr int32_t kMostAtOnce = 127;  // that a byte of a report can tell

// Report descriptors (HID 1.11, 6.2.2; usages: HID Usage Tables 1.12, chapters 4 and 12). Five buttons in a byte.
#define LODGE_BUTTONS                                                                                                     \
  0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, \
      0x81, 0x01
constexpr auto kMouseReport = std::to_array<uint8_t>({
    0x05,          0x01, 0x09, 0x02, 0xA1, 0x01, 0x09, 0x01, 0xA1, 0x00,  // a mouse's pointer
    LODGE_BUTTONS,                                                        //
    0x05,          0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38,              // X, Y, wheel
    0x15,          0x81, 0x25, 0x7F, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06,  // -127 to 127, relative
    0xC0,          0xC0,
});
constexpr auto kTabletReport = std::to_array<uint8_t>({
    0x05,          0x01, 0x09, 0x02, 0xA1, 0x01, 0x09, 0x01, 0xA1, 0x00,  // a mouse's pointer
    LODGE_BUTTONS,                                                        //
    0x05,          0x01, 0x09, 0x30, 0x09, 0x31,                          // X, Y
    0x15,          0x00, 0x26, 0xFF, 0x7F, 0x35, 0x00, 0x46, 0xFF, 0x7F,
    0x75,          0x10, 0x95, 0x02, 0x81, 0x02,  // 0 to 32767, absolute
    0x09,          0x38, 0x15, 0x81, 0x25, 0x7F, 0x35, 0x00, 0x45, 0x00,
    0x75,          0x08, 0x95, 0x01, 0x81, 0x06,  // wheel, relative
    0xC0,          0xC0,
});
#undef LODGE_BUTTONS

int32_t one_byte(int32_t steps) { return std::clamp(steps, -kMostAtOnce, kMostAtOnce); }

}  // namespace

Result<void> UsbPointer::load_pointer(const StateReader& saved) {
  TRY_VOID(load_hid(saved));
  const auto state = TRY(saved.get<UsbPointerState>(id()));
  const Lock lock(mutex_);
  if (!PointerQueue::is_sound(state.last) || !waiting_.load(state.waiting)) {
    return fail("saved USB pointer '{}' is damaged", id());
  }
  last_ = state.last;
  return {};
}

void UsbPointer::save(StateWriter& out) const {
  UsbHid::save(out);
  const Lock lock(mutex_);
  out.put(id(), UsbPointerState{last_, waiting_.events()});
}

void UsbPointer::forget() {
  last_ = {};
  waiting_.clear();
}

void UsbPointer::add(PointerQueue::Sort sort, const PointerEvent& event) {
  if (!configured()) {
    return;
  }
  {
    const Lock lock(mutex_);
    waiting_.add(sort, event, last_.buttons);
  }
  wake_port();
}

UsbMouse::UsbMouse(UsbHidOptions options) : UsbPointer(std::move(options), {"Lodge USB Mouse", 0x1002, 2, kMouseReport}) {}

Result<std::shared_ptr<UsbDevice>> UsbMouse::create(UsbHidOptions options, const StateReader* saved) {
  std::shared_ptr<UsbMouse> self(new UsbMouse(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load_pointer(*saved));
  }
  return self;
}

void UsbMouse::move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) {
  add(PointerQueue::Sort::steps, {.x = right, .y = down, .wheel = wheel, .buttons = buttons});
}

// What does not fit into one report stays for the next.
void UsbMouse::take_news() {
  PointerEvent& next = waiting_.front();
  last_ = {one_byte(next.x), one_byte(next.y), one_byte(next.wheel), next.buttons, false};
  next.x -= last_.x;
  next.y -= last_.y;
  next.wheel -= last_.wheel;
  next.pressed = false;
  if (next.x == 0 && next.y == 0 && next.wheel == 0) {
    waiting_.pop_front();
  }
}

void UsbMouse::put_report(std::span<uint8_t, kMaxReport> report) const {
  report[0] = last_.buttons;
  report[1] = static_cast<uint8_t>(one_byte(last_.x));
  report[2] = static_cast<uint8_t>(one_byte(last_.y));
  report[3] = static_cast<uint8_t>(one_byte(-last_.wheel));  // HID's wheel turns away from the user
}

UsbTablet::UsbTablet(UsbHidOptions options)
    : UsbPointer(std::move(options), {"Lodge USB Tablet", 0x1001, 0, kTabletReport}) {}

Result<std::shared_ptr<UsbDevice>> UsbTablet::create(UsbHidOptions options, const StateReader* saved) {
  std::shared_ptr<UsbTablet> self(new UsbTablet(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load_pointer(*saved));
  }
  return self;
}

void UsbTablet::place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) {
  add(PointerQueue::Sort::places, {.x = std::min(x, kLast), .y = std::min(y, kLast), .wheel = wheel, .buttons = buttons});
}

void UsbTablet::take_news() {
  PointerEvent& next = waiting_.front();
  last_ = {next.x, next.y, one_byte(next.wheel), next.buttons, false};
  next.wheel -= last_.wheel;
  next.pressed = false;
  if (next.wheel == 0) {
    waiting_.pop_front();
  }
}

void UsbTablet::put_report(std::span<uint8_t, kMaxReport> report) const {
  const auto x = static_cast<uint16_t>(std::clamp<int32_t>(last_.x, 0, kLast));
  const auto y = static_cast<uint16_t>(std::clamp<int32_t>(last_.y, 0, kLast));
  report[0] = last_.buttons;
  report[1] = static_cast<uint8_t>(x);
  report[2] = static_cast<uint8_t>(x >> 8);
  report[3] = static_cast<uint8_t>(y);
  report[4] = static_cast<uint8_t>(y >> 8);
  report[5] = static_cast<uint8_t>(one_byte(-last_.wheel));
}

}  // namespace lodge
