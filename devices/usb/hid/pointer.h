// UsbMouse and UsbTablet: steps, or places; five buttons and a wheel.
#pragma once

#include "devices/input/input.h"
#include "devices/usb/hid/device.h"

namespace lodge {

class UsbPointer : public UsbHid {
 public:
  void save(StateWriter& out) const override;

 protected:
  using UsbHid::UsbHid;
  [[nodiscard]] Result<void> load_pointer(const StateReader& saved);
  void add(PointerQueue::Sort sort, const PointerEvent& event);
  [[nodiscard]] bool has_news() const override REQUIRES(mutex_) { return !waiting_.empty(); }
  void forget() override REQUIRES(mutex_);

  PointerEvent last_ GUARDED_BY(mutex_);
  PointerQueue waiting_ GUARDED_BY(mutex_);
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
