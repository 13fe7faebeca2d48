#include "devices/virtio/gpu/preferred_size.h"

#include <algorithm>

#include "devices/virtio/gpu/protocol.h"

namespace lodge {

GpuPreferredSize::Size GpuPreferredSize::tell() {
  const Lock lock(mutex_);
  told_ = true;
  return size_;
}

bool GpuPreferredSize::set(Size wanted) {
  const Size nearest{std::clamp(wanted.width, kLeast, kMaxEdidWidth), std::clamp(wanted.height, kLeast, kMaxEdidHeight)};
  const Lock lock(mutex_);
  if (nearest == size_) {
    return false;
  }
  size_ = nearest;
  events_ |= virtio_gpu::kEventDisplay;
  told_ = false;
  reminded_ = false;
  return true;
}

void GpuPreferredSize::load(Size size, uint32_t events) {
  const Lock lock(mutex_);
  size_ = size;
  events_ = events;
  told_ = events == 0;
}

bool GpuPreferredSize::clear(uint32_t events) {
  const Lock lock(mutex_);
  events_ &= ~events;
  if (told_ || reminded_ || (events & virtio_gpu::kEventDisplay) == 0) {
    return false;
  }
  reminded_ = true;
  events_ |= virtio_gpu::kEventDisplay;
  return true;
}

}  // namespace lodge
