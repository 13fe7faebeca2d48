// InputRouter: from people to that of several keyboards and pointers to which the guest listens now. Those that were added
// first are preferred; a key goes up where it went down.
//
// Devices are added and removed on control, while input may come from any thread.
#pragma once

#include <map>
#include <vector>

#include "base/mutex.h"
#include "devices/input/input.h"

namespace lodge {

class InputRouter final : public InputSink, public PointerSink, public TabletSink {
 public:
  // Each of the sinks that the device is.
  template <class Device>
  void add(Device& device) {
    add(dynamic_cast<InputSink*>(&device), dynamic_cast<PointerSink*>(&device), dynamic_cast<TabletSink*>(&device));
  }
  template <class Device>
  void remove(Device& device) {
    remove(dynamic_cast<InputSink*>(&device), dynamic_cast<PointerSink*>(&device), dynamic_cast<TabletSink*>(&device));
  }
  [[nodiscard]] bool has_keyboard() const;

  void key(uint16_t code, bool down) override;
  [[nodiscard]] bool takes_keys() const override;
  void move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) override;
  [[nodiscard]] bool takes_steps() const override;
  void place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) override;
  [[nodiscard]] bool takes_places() const override;

 private:
  void add(InputSink* keyboard, PointerSink* mouse, TabletSink* tablet);
  void remove(const InputSink* keyboard, const PointerSink* mouse, const TabletSink* tablet);

  mutable Mutex mutex_;  // comes before those of the devices
  std::vector<InputSink*> keyboards_ GUARDED_BY(mutex_);
  std::vector<PointerSink*> mice_ GUARDED_BY(mutex_);
  std::vector<TabletSink*> tablets_ GUARDED_BY(mutex_);
  std::map<uint16_t, InputSink*> held_ GUARDED_BY(mutex_);  // where keys are down
};

}  // namespace lodge
