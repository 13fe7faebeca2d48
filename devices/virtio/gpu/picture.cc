#include "devices/virtio/gpu/picture.h"

#include <algorithm>

#include "devices/display/lines.h"

namespace lodge {
namespace {

constexpr uint32_t kColours = 0xFFFFFF;

uint32_t blend(uint32_t below, uint32_t above) {
  const uint32_t through = 0xFF - (above >> 24);
  uint32_t mixed = 0;
  for (const uint32_t shift : {0U, 8U, 16U}) {
    const uint32_t part = (above >> shift & 0xFFU) + (below >> shift & 0xFFU) * through / 0xFF;
    mixed |= std::min(part, 0xFFU) << shift;
  }
  return mixed;
}

void draw_cursor(const GpuPicture::Shown& shown, uint32_t y, std::span<uint32_t> line) {
  constexpr int64_t kSide = GpuCursorImage::kSide;
  const int64_t row = int64_t{y} - shown.cursor_y;
  if (shown.cursor == nullptr || row < 0 || row >= kSide) {
    return;
  }
  const int64_t first = std::max<int64_t>(0, -int64_t{shown.cursor_x});
  const int64_t last = std::min<int64_t>(kSide, static_cast<int64_t>(line.size()) - shown.cursor_x);
  for (int64_t column = first; column < last; ++column) {
    uint32_t& below = line[static_cast<size_t>(shown.cursor_x + column)];
    below = blend(below, shown.cursor->pixels.at(static_cast<size_t>(row * kSide + column)));
  }
}

}  // namespace

bool GpuPicture::can_show(const GpuResource& resource, const virtio_gpu::Rect& rect) {
  return resource.contains(rect) && rect.width != 0 && rect.height != 0 && rect.width <= kMaxSide &&
         rect.height <= kMaxSide && uint64_t{rect.width} * rect.height <= kMaxPixels;
}

void GpuPicture::show(uint32_t resource_id, std::shared_ptr<GpuResource> resource, const virtio_gpu::Rect& rect) {
  const Lock lock(mutex_);
  shown_.taken = true;
  shown_.resource_id = resource_id;
  shown_.resource = std::move(resource);
  shown_.rect = rect;
  ++shown_.serial;
}

void GpuPicture::give_up() {
  show_nothing();
  const Lock lock(mutex_);
  shown_.taken = false;
}

void GpuPicture::touch() {
  const Lock lock(mutex_);
  ++shown_.serial;
}

void GpuPicture::set_cursor(std::shared_ptr<const GpuCursorImage> image) {
  const Lock lock(mutex_);
  shown_.cursor = std::move(image);
  ++shown_.serial;
}

void GpuPicture::move_cursor(int32_t x, int32_t y) {
  const Lock lock(mutex_);
  shown_.cursor_x = x;
  shown_.cursor_y = y;
  ++shown_.serial;
}

GpuPicture::Shown GpuPicture::shown() const {
  const Lock lock(mutex_);
  return shown_;
}

std::optional<ChangedLines> GpuPicture::refresh(Image& image) const {
  const Shown now = shown();
  if (image.serial == now.serial) {
    return std::nullopt;
  }
  image.serial = now.serial;
  if (now.resource == nullptr) {
    return update_lines(image, width_, height_, [](uint32_t, std::span<uint32_t> line) { std::ranges::fill(line, 0); });
  }
  return update_lines(image, now.rect.width, now.rect.height, [&now](uint32_t y, std::span<uint32_t> line) {
    now.resource->read_line(now.rect.x, now.rect.y + y, line);
    std::ranges::transform(line, line.begin(), [](uint32_t pixel) { return pixel & kColours; });
    draw_cursor(now, y, line);
  });
}

}  // namespace lodge
