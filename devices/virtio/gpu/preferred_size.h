// GpuPreferredSize: the size that the screen prefers, and whether the guest knows it: the event of the config space
// (virtio 1.2 section 5.7.4). Any thread.
#pragma once

#include "base/mutex.h"
#include "devices/virtio/gpu/edid.h"

namespace lodge {

class GpuPreferredSize {
 public:
  static constexpr uint32_t kLeast = 64;  // of each side, that people may ask for
  struct Size {
    uint32_t width = 0;
    uint32_t height = 0;
    friend bool operator==(const Size&, const Size&) = default;
  };
  explicit GpuPreferredSize(Size size) : size_(size) {}

  [[nodiscard]] Size get() const {
    const Lock lock(mutex_);
    return size_;
  }
  // The guest asks for it: from now on it knows.
  [[nodiscard]] Size tell();
  // Makes it this one, or the nearest that there is. Whether the guest must be interrupted.
  [[nodiscard]] bool set(Size wanted);
  // Of a saved state.
  void load(Size size, uint32_t events);

  // The register events_read, and a write to events_clear. Whether the guest must be interrupted again: the size has changed
  // since it asked. That happens once for each change.
  [[nodiscard]] uint32_t events() const {
    const Lock lock(mutex_);
    return events_;
  }
  [[nodiscard]] bool clear(uint32_t events);

 private:
  mutable Mutex mutex_;
  Size size_ GUARDED_BY(mutex_);
  uint32_t events_ GUARDED_BY(mutex_) = 0;
  bool told_ GUARDED_BY(mutex_) = true;
  bool reminded_ GUARDED_BY(mutex_) = false;
};

}  // namespace lodge
