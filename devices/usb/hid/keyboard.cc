#include "devices/usb/hid/keyboard.h"

#include <algorithm>

namespace lodge {
namespace {

constexpr uint16_t kDown = 0x100;
constexpr uint8_t kFirstModifier = 0xE0;
constexpr uint8_t kLastModifier = 0xE7;
constexpr uint8_t kTooMany = 0x01;  // ErrorRollOver
constexpr size_t kKeys = 6;
constexpr size_t kFirstKeyAt = 2;
constexpr uint8_t kAllLeds = 0x1F;
constexpr size_t kMaxWaiting = 512;

// Usages: HID Usage Tables 1.12, chapters 8 (LEDs) and 10 (keyboard).
constexpr auto kReport = std::to_array<uint8_t>({
    0x05, 0x01, 0x09, 0x06, 0xA1, 0x01,                                                              // a keyboard
    0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02,  // modifiers
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01,                                                              // a byte of nothing
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02,                          // five LEDs
    0x95, 0x01, 0x75, 0x03, 0x91, 0x01,                                                              //
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x05, 0x07, 0x19, 0x00, 0x2A, 0xFF, 0x00, 0x81, 0x00,  // six keys
    0xC0,
});

bool is_modifier(uint8_t usage) { return usage >= kFirstModifier && usage <= kLastModifier; }

}  // namespace

UsbKeyboard::UsbKeyboard(UsbHidOptions options) : UsbHid(std::move(options), {"Lodge USB Keyboard", 0x1003, 1, kReport}) {}

Result<std::shared_ptr<UsbDevice>> UsbKeyboard::create(UsbHidOptions options, const StateReader* saved) {
  std::shared_ptr<UsbKeyboard> self(new UsbKeyboard(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

Result<void> UsbKeyboard::load(const StateReader& saved) {
  TRY_VOID(load_hid(saved));
  auto state = TRY(saved.get<UsbKeyboardState>(id()));
  if (state.keys.size() > 256 || state.waiting.size() > kMaxWaiting ||
      std::ranges::any_of(state.waiting, [](uint16_t one) { return one > (kDown | 0xFF); })) {
    return fail("saved USB keyboard '{}' is damaged", id());
  }
  const Lock lock(mutex_);
  waiting_.assign(state.waiting.begin(), state.waiting.end());
  state.waiting.clear();
  s_ = std::move(state);
  for (const uint8_t usage : s_.keys) {
    down_.set(usage);
  }
  for (uint8_t i = 0; i < 8; ++i) {
    down_.set(kFirstModifier + i, (s_.modifiers >> i & 1) != 0);
  }
  for (const uint16_t one : waiting_) {
    down_.set(one & 0xFF, (one & kDown) != 0);
  }
  return {};
}

void UsbKeyboard::save(StateWriter& out) const {
  UsbHid::save(out);
  const Lock lock(mutex_);
  UsbKeyboardState state = s_;
  state.waiting.assign(waiting_.begin(), waiting_.end());
  out.put(id(), state);
}

uint8_t UsbKeyboard::leds() const {
  const Lock lock(mutex_);
  return s_.leds;
}

void UsbKeyboard::forget() {
  s_ = {};
  waiting_.clear();
  down_.reset();
}

void UsbKeyboard::key(uint16_t code, bool down) {
  const uint8_t usage = hid_usage(code);
  if (usage == 0 || !configured()) {
    return;
  }
  {
    const Lock lock(mutex_);
    if (down_.test(usage) == down || (down && waiting_.size() >= kRoomToPress)) {
      return;
    }
    down_.set(usage, down);
    waiting_.push_back(static_cast<uint16_t>(usage | (down ? kDown : 0)));
  }
  wake_port();
}

void UsbKeyboard::take_news() {
  const uint16_t next = waiting_.front();
  waiting_.pop_front();
  apply(static_cast<uint8_t>(next), (next & kDown) != 0);
}

void UsbKeyboard::apply(uint8_t usage, bool down) {
  if (is_modifier(usage)) {
    const auto bit = static_cast<uint8_t>(1U << (usage - kFirstModifier));
    s_.modifiers = static_cast<uint8_t>(down ? s_.modifiers | bit : s_.modifiers & ~bit);
    return;
  }
  std::erase(s_.keys, usage);
  if (down) {
    s_.keys.push_back(usage);
  }
}

void UsbKeyboard::put_report(std::span<uint8_t, kMaxReport> report) const {
  report[0] = s_.modifiers;
  for (size_t i = 0; i < kKeys; ++i) {
    report[kFirstKeyAt + i] = s_.keys.size() > kKeys ? kTooMany : i < s_.keys.size() ? s_.keys[i] : uint8_t{0};
  }
}

UsbAnswer UsbKeyboard::set_report(std::span<const std::byte> data) {
  if (data.empty()) {
    return {UsbStatus::stall};
  }
  s_.leds = std::to_integer<uint8_t>(data[0]) & kAllLeds;
  return {UsbStatus::done};
}

}  // namespace lodge
