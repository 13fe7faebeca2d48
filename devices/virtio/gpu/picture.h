// GpuPicture: what virtio-gpu shows now, a part of a resource with the cursor on it. Commands change it on the device's
// loop, whoever looks reads it from any thread; one mutex, held while a few words are copied.
#pragma once

#include <array>
#include <memory>

#include "base/mutex.h"
#include "devices/display/screen.h"
#include "devices/virtio/gpu/resource.h"

namespace lodge {

// A cursor's picture, 0xAARRGGBB, its colours multiplied by alpha.
struct GpuCursorImage {
  static constexpr uint32_t kSide = 64;
  std::array<uint32_t, size_t{kSide} * kSide> pixels{};
};

class GpuPicture {
 public:
  // No larger picture is shown.
  static constexpr uint32_t kMaxSide = 8192;
  static constexpr uint64_t kMaxPixels = uint64_t{4096} * 4096;

  // What a screen without a scanout has: this size, black.
  GpuPicture(uint32_t width, uint32_t height) : width_(width), height_(height) {}
  // The rect lies in the resource and is not too large.
  [[nodiscard]] static bool can_show(const GpuResource& resource, const virtio_gpu::Rect& rect);

  void show(uint32_t resource_id, std::shared_ptr<GpuResource> resource, const virtio_gpu::Rect& rect);
  void show_nothing() { show(0, nullptr, {}); }
  // The driver is gone.
  void give_up();
  // The pixels of the shown resource have changed.
  void touch();
  void set_cursor(std::shared_ptr<const GpuCursorImage> image);  // null: none
  void move_cursor(int32_t x, int32_t y);

  [[nodiscard]] std::optional<ChangedLines> refresh(Image& image) const;

  struct Shown {
    bool taken = false;  // a driver has said what to show
    uint32_t resource_id = 0;
    std::shared_ptr<GpuResource> resource;  // null: nothing is shown
    virtio_gpu::Rect rect;
    std::shared_ptr<const GpuCursorImage> cursor;
    int32_t cursor_x = 0;  // of its upper left corner, in the rect
    int32_t cursor_y = 0;
    uint64_t serial = 1;  // counts changes
  };
  [[nodiscard]] Shown shown() const;

 private:
  uint32_t width_;
  uint32_t height_;
  mutable Mutex mutex_;
  Shown shown_ GUARDED_BY(mutex_);
};

}  // namespace lodge
