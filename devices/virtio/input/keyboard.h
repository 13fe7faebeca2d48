// VirtioKeyboard: keys by Linux's numbers. A key that finds no room is not pressed, and there is always room to release one.
#pragma once

#include <bitset>
#include <deque>

#include "devices/input/input.h"
#include "devices/virtio/input/device.h"

namespace lodge {

class VirtioKeyboard final : public VirtioInput, public InputSink {
 public:
  static constexpr size_t kRoomToPress = 64;
  explicit VirtioKeyboard(Options options) : VirtioInput(std::move(options)) {}

  void key(uint16_t code, bool down) override;
  [[nodiscard]] bool takes_keys() const override { return listening(); }
  void save(std::string_view id, StateWriter& out) const override;

 private:
  [[nodiscard]] bool take_next(std::vector<VirtioInputEvent>& out) override REQUIRES(mutex_);
  void forget() override REQUIRES(mutex_);
  [[nodiscard]] Result<void> load(const StateReader& saved) override;

  std::deque<uint16_t> waiting_ GUARDED_BY(mutex_);
  std::bitset<virtio_input::kLastKey + 1> down_ GUARDED_BY(mutex_);  // once all that waits has been told
};

}  // namespace lodge
