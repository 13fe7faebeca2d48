// VirtioMouse and VirtioTablet: steps, or places; five buttons and a wheel.
#pragma once

#include "devices/input/input.h"
#include "devices/virtio/input/device.h"

namespace lodge {

class VirtioPointer : public VirtioInput {
 public:
  void save(std::string_view id, StateWriter& out) const override;

 protected:
  using VirtioInput::VirtioInput;
  void add(PointerQueue::Sort sort, const PointerEvent& event);
  [[nodiscard]] bool take_next(std::vector<VirtioInputEvent>& out) override REQUIRES(mutex_);
  void forget() override REQUIRES(mutex_);
  [[nodiscard]] Result<void> load(const StateReader& saved) override;

 private:
  PointerQueue waiting_ GUARDED_BY(mutex_);
  uint8_t buttons_ GUARDED_BY(mutex_) = 0;  // as the guest was told
};

class VirtioMouse final : public VirtioPointer, public PointerSink {
 public:
  explicit VirtioMouse(Options options) : VirtioPointer(std::move(options)) {}
  void move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) override;
  [[nodiscard]] bool takes_steps() const override { return listening(); }
};

class VirtioTablet final : public VirtioPointer, public TabletSink {
 public:
  explicit VirtioTablet(Options options) : VirtioPointer(std::move(options)) {}
  void place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) override;
  [[nodiscard]] bool takes_places() const override { return listening(); }
};

}  // namespace lodge
