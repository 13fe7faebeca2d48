// UsbMouse and UsbTablet: steps, or places; five buttons and a wheel.
//
// Moves that the host has not fetched become one; buttons are told one after another, as far as there is room.
#pragma once

#include <deque>

#include "devices/input/input.h"
#include "devices/usb/hid/device.h"

namespace lodge {

class UsbPointer : public UsbHid {
 public:
  static constexpr size_t kMaxWaiting = 32;
  void save(StateWriter& out) const override;

 protected:
  using UsbHid::UsbHid;
  [[nodiscard]] Result<void> load_pointer(const StateReader& saved);
  // Steps add up, places replace each other.
  enum class Sort : uint8_t { steps, places };
  void add(Sort sort, const UsbPointerEvent& event);
  [[nodiscard]] bool has_news() const override REQUIRES(mutex_) { return !waiting_.empty(); }
  void forget() override REQUIRES(mutex_);

  UsbPointerEvent last_ GUARDED_BY(mutex_);
  std::deque<UsbPointerEvent> waiting_ GUARDED_BY(mutex_);
};

class UsbMouse final : public UsbPointer, public PointerSink {
 public:
  [[nodiscard]] static Result<std::shared_ptr<UsbDevice>> create(UsbHidOptions options, const StateReader* saved);
  void move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) override;
  [[nodiscard]] bool takes_steps() const override { return configured(); }

 private:
  explicit UsbMouse(UsbHidOptions options);
  [[nodiscard]] size_t report_size() const override REQUIRES(mutex_) { return report_protocol() ? 4 : 3; }
  void take_news() override REQUIRES(mutex_);
  void put_report(std::span<uint8_t, kMaxReport> report) const override REQUIRES(mutex_);
};

class UsbTablet final : public UsbPointer, public TabletSink {
 public:
  [[nodiscard]] static Result<std::shared_ptr<UsbDevice>> create(UsbHidOptions options, const StateReader* saved);
  void place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) override;
  [[nodiscard]] bool takes_places() const override { return configured(); }

 private:
  explicit UsbTablet(UsbHidOptions options);
  [[nodiscard]] size_t report_size() const override REQUIRES(mutex_) { return 6; }
  void take_news() override REQUIRES(mutex_);
  void put_report(std::span<uint8_t, kMaxReport> report) const override REQUIRES(mutex_);
};

}  // namespace lodge
