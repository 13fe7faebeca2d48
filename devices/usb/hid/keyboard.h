// UsbKeyboard: eight bytes a report, as the boot protocol has them (HID 1.11, appendix B): modifiers and up to six keys.
//
// Each key that goes down or up is a report of its own. As with the PS/2 keyboard a key that finds no room is not pressed,
// and there is always room to release one.
#pragma once

#include <bitset>
#include <deque>

#include "devices/input/input.h"
#include "devices/usb/hid/device.h"

namespace lodge {

class UsbKeyboard final : public UsbHid, public InputSink {
 public:
  static constexpr size_t kRoomToPress = 64;
  [[nodiscard]] static Result<std::shared_ptr<UsbDevice>> create(UsbHidOptions options, const StateReader* saved);

  void save(StateWriter& out) const override;
  void key(uint16_t code, bool down) override;
  [[nodiscard]] bool takes_keys() const override { return configured(); }
  [[nodiscard]] uint8_t leds() const;

 private:
  explicit UsbKeyboard(UsbHidOptions options);
  [[nodiscard]] Result<void> load(const StateReader& saved);
  [[nodiscard]] size_t report_size() const override REQUIRES(mutex_) { return kMaxReport; }
  [[nodiscard]] bool has_news() const override REQUIRES(mutex_) { return !waiting_.empty(); }
  void take_news() override REQUIRES(mutex_);
  void apply(uint8_t usage, bool down) REQUIRES(mutex_);
  void put_report(std::span<uint8_t, kMaxReport> report) const override REQUIRES(mutex_);
  [[nodiscard]] bool holds() const override REQUIRES(mutex_) { return s_.modifiers != 0 || !s_.keys.empty(); }
  void forget() override REQUIRES(mutex_);
  UsbAnswer set_report(std::span<const std::byte> data) override REQUIRES(mutex_);

  UsbKeyboardState s_ GUARDED_BY(mutex_);  // without `waiting`, which follows
  std::deque<uint16_t> waiting_ GUARDED_BY(mutex_);
  std::bitset<256> down_ GUARDED_BY(mutex_);  // once all that waits has been told
};

// The usage on HID's keyboard page of the key with Linux's number `code`; 0: keyboards have no such key.
[[nodiscard]] uint8_t hid_usage(uint16_t code);

}  // namespace lodge
