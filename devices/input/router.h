// InputRouter: from people to that of several keyboards and pointers to which the guest listens now. Those of a better rank
// are preferred, and of one rank those that were added first; a key goes up where it went down.
//
// Devices are added and removed on control, while input may come from any thread.
#pragma once

#include <map>
#include <vector>

#include "base/mutex.h"
#include "devices/input/input.h"

namespace lodge {

// Whenever they come: a guest that has a driver for something better is to use it.
enum class InputRank : uint8_t { virtio, usb, ps2 };

class InputRouter final : public InputSink, public PointerSink, public TabletSink {
 public:
  // Each of the sinks that the device is.
  template <class Device>
  void add(Device& device, InputRank rank) {
    add(dynamic_cast<InputSink*>(&device), dynamic_cast<PointerSink*>(&device), dynamic_cast<TabletSink*>(&device), rank);
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
  template <class Sink>
  struct Ranked {
    Sink* sink = nullptr;
    InputRank rank = InputRank::virtio;
  };
  void add(InputSink* keyboard, PointerSink* mouse, TabletSink* tablet, InputRank rank);
  void remove(const InputSink* keyboard, const PointerSink* mouse, const TabletSink* tablet);

  mutable Mutex mutex_;  // comes before those of the devices
  std::vector<Ranked<InputSink>> keyboards_ GUARDED_BY(mutex_);
  std::vector<Ranked<PointerSink>> mice_ GUARDED_BY(mutex_);
  std::vector<Ranked<TabletSink>> tablets_ GUARDED_BY(mutex_);
  std::map<uint16_t, InputSink*> held_ GUARDED_BY(mutex_);  // where keys are down
};

}  // namespace lodge
