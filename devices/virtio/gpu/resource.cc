#include "devices/virtio/gpu/resource.h"

#include <algorithm>
#include <array>
#include <bit>
#include <new>

#include "base/units.h"

namespace lodge {
namespace {

using namespace virtio_gpu;  // NOLINT(google-build-using-namespace): the names of the specification

// Where the colours are in a pixel that was loaded as a little-endian number.
struct Format {
  uint32_t id;
  uint8_t red;
  uint8_t green;
  uint8_t blue;
  uint8_t alpha;
  bool has_alpha;
};
constexpr std::array kFormats{
    Format{1, 16, 8, 0, 24, true},    // B8G8R8A8
    Format{2, 16, 8, 0, 24, false},   // B8G8R8X8
    Format{3, 8, 16, 24, 0, true},    // A8R8G8B8
    Format{4, 8, 16, 24, 0, false},   // X8R8G8B8
    Format{67, 0, 8, 16, 24, true},   // R8G8B8A8
    Format{68, 24, 16, 8, 0, false},  // X8B8G8R8
    Format{121, 24, 16, 8, 0, true},  // A8B8G8R8
    Format{134, 0, 8, 16, 24, false}  // R8G8B8X8
};

const Format* find_format(uint32_t id) {
  const auto* const it = std::ranges::find(kFormats, id, &Format::id);
  return it != kFormats.end() ? it : nullptr;
}

constexpr uint64_t kPixel = sizeof(uint32_t);
// Even the smallest picture takes this much, so that their number is bounded.
constexpr uint64_t kLeast = 4096;

uint64_t cost_of(uint32_t width, uint32_t height) { return align_up(uint64_t{width} * height * kPixel, kLeast); }
uint64_t cost_of(const std::vector<GpuResource::Entry>& entries) { return entries.size() * sizeof(GpuResource::Entry); }

}  // namespace

bool GpuResource::is_format(uint32_t format) { return find_format(format) != nullptr; }

bool GpuResource::contains(const Rect& rect) const {
  return rect.width <= width_ && rect.x <= width_ - rect.width && rect.height <= height_ && rect.y <= height_ - rect.height;
}

bool GpuResource::read_backing(const GuestMemory& memory, uint64_t offset, std::span<std::byte> to) const {
  auto entry = std::ranges::upper_bound(backing_, offset, {}, &Entry::offset);
  if (entry == backing_.begin()) {
    return false;
  }
  --entry;
  for (; !to.empty(); ++entry) {
    if (entry == backing_.end() || offset - entry->offset >= entry->length) {
      return false;
    }
    const uint64_t skip = offset - entry->offset;
    const size_t part = std::min<size_t>(to.size(), entry->length - skip);
    if (!memory.read_bytes(Gpa{entry->at.value + skip}, to.first(part))) {
      return false;
    }
    to = to.subspan(part);
    offset += part;
  }
  return true;
}

bool GpuResource::transfer(const GuestMemory& memory, const Rect& rect, uint64_t offset) {
  const uint64_t end = backing_.empty() ? 0 : backing_.back().offset + backing_.back().length;
  const uint64_t bytes = (uint64_t{rect.height} - 1) * width_ * kPixel + rect.width * kPixel;
  if (rect.width == 0 || rect.height == 0) {
    return true;
  }
  if (bytes > end || offset > end - bytes) {
    return false;
  }
  for (uint32_t row = 0; row < rect.height; ++row) {
    const Lock lock(mutex_);
    const auto line = std::span(pixels_).subspan(size_t{rect.y + row} * width_ + rect.x, rect.width);
    if (!read_backing(memory, offset + uint64_t{row} * width_ * kPixel, std::as_writable_bytes(line))) {
      return false;
    }
  }
  return true;
}

void GpuResource::read_line(uint32_t x, uint32_t y, std::span<uint32_t> to) const {
  {
    const Lock lock(mutex_);
    std::ranges::copy(std::span(pixels_).subspan(size_t{y} * width_ + x, to.size()), to.begin());
  }
  const Format& format = *find_format(format_);
  if (format.red == 16 && format.has_alpha) {
    return;
  }
  for (uint32_t& pixel : to) {
    const auto part = [value = pixel](uint8_t shift) { return value >> shift & 0xFFU; };
    const uint32_t alpha = format.has_alpha ? part(format.alpha) : 0xFF;
    pixel = alpha << 24 | part(format.red) << 16 | part(format.green) << 8 | part(format.blue);
  }
}

void GpuResource::save_pixels(size_t first, std::span<uint32_t> to) const {
  const Lock lock(mutex_);
  std::ranges::copy(std::span(pixels_).subspan(first, to.size()), to.begin());
}

void GpuResource::load_pixels(size_t first, std::span<const uint32_t> from) {
  const Lock lock(mutex_);
  std::ranges::copy(from, pixels_.begin() + static_cast<ptrdiff_t>(first));
}

std::shared_ptr<GpuResource> GpuResources::find(uint32_t id) const {
  const auto it = all_.find(id);
  return it != all_.end() ? it->second : nullptr;
}

bool GpuResources::take(uint64_t bytes) {
  if (bytes > limit_ - bytes_) {
    return false;
  }
  bytes_ += bytes;
  return true;
}

Response GpuResources::create(const CreateResource& wanted) {
  if (wanted.resource_id == 0 || all_.contains(wanted.resource_id)) {
    return kErrInvalidResourceId;
  }
  if (!GpuResource::is_format(wanted.format) || wanted.width == 0 || wanted.height == 0 ||
      wanted.width > GpuResource::kMaxSide || wanted.height > GpuResource::kMaxSide) {
    return kErrInvalidParameter;
  }
  if (!take(cost_of(wanted.width, wanted.height))) {
    return kErrOutOfMemory;
  }
  all_[wanted.resource_id] = std::make_shared<GpuResource>(wanted.format, wanted.width, wanted.height);
  return kOkNodata;
}

Response GpuResources::attach(const GuestMemory& memory, uint32_t id, std::span<const MemoryEntry> entries) {
  std::vector<GpuResource::Entry> backing;
  backing.reserve(entries.size());
  for (const MemoryEntry& entry : entries) {
    if (memory.iovec_for(Gpa{entry.address}, entry.length).iov_base == nullptr) {
      return kErrInvalidParameter;
    }
    backing.push_back({0, Gpa{entry.address}, entry.length});
  }
  return load_backing(id, std::move(backing));
}

Response GpuResources::load_backing(uint32_t id, std::vector<GpuResource::Entry> entries) {
  const auto resource = find(id);
  if (resource == nullptr) {
    return kErrInvalidResourceId;
  }
  if (!resource->backing().empty() || entries.empty() || entries.size() > kMaxEntries) {
    return kErrInvalidParameter;
  }
  uint64_t offset = 0;
  for (GpuResource::Entry& entry : entries) {
    if (entry.length == 0) {
      return kErrInvalidParameter;
    }
    entry.offset = offset;
    offset += entry.length;
  }
  if (!take(cost_of(entries))) {
    return kErrOutOfMemory;
  }
  resource->set_backing(std::move(entries));
  return kOkNodata;
}

void GpuResources::detach(uint32_t id) {
  if (const auto resource = find(id)) {
    bytes_ -= cost_of(resource->backing());
    resource->set_backing({});
  }
}

void GpuResources::remove(uint32_t id) {
  if (const auto resource = find(id)) {
    detach(id);
    bytes_ -= cost_of(resource->width(), resource->height());
    all_.erase(id);
  }
}

void GpuResources::clear() {
  all_.clear();
  bytes_ = 0;
}

}  // namespace lodge
