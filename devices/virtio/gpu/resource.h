// GpuResource: a picture of the guest's: our copy of its pixels and the guest memory that it fills it from. GpuResources:
// all of them, with what they may take.
//
// The device's loop alone changes them. Pixels are read by whoever looks at the screen, too: a mutex, held for one line.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/memory/guest_memory.h"
#include "base/mutex.h"
#include "devices/virtio/gpu/protocol.h"

namespace lodge {

class GpuResource {
 public:
  static constexpr uint32_t kMaxSide = 16384;
  struct Entry {
    uint64_t offset = 0;  // of its first byte in the whole
    Gpa at;
    uint32_t length = 0;
  };

  // `format`: one that is_format() knows.
  GpuResource(uint32_t format, uint32_t width, uint32_t height)
      : format_(format), width_(width), height_(height), pixels_(size_t{width} * height) {}
  [[nodiscard]] static bool is_format(uint32_t format);

  [[nodiscard]] uint32_t format() const { return format_; }
  [[nodiscard]] uint32_t width() const { return width_; }
  [[nodiscard]] uint32_t height() const { return height_; }
  [[nodiscard]] bool contains(const virtio_gpu::Rect& rect) const;

  // The guest memory behind it, in order; empty: none.
  [[nodiscard]] const std::vector<Entry>& backing() const { return backing_; }
  void set_backing(std::vector<Entry> entries) { backing_ = std::move(entries); }
  // Copies a part of the picture from the backing, where its first pixel is at `offset` and lines are width() pixels apart.
  // False: the backing ends before. The part lies in the picture.
  [[nodiscard]] bool transfer(const GuestMemory& memory, const virtio_gpu::Rect& rect, uint64_t offset);

  // Line y from x on as 0xAARRGGBB; formats without alpha have 0xFF there.
  void read_line(uint32_t x, uint32_t y, std::span<uint32_t> to) const;

  // As the guest laid them out, for saves: from pixel `first` on, of all.
  void save_pixels(size_t first, std::span<uint32_t> to) const;
  void load_pixels(size_t first, std::span<const uint32_t> from);
  [[nodiscard]] size_t pixel_count() const { return size_t{width_} * height_; }

 private:
  [[nodiscard]] bool read_backing(const GuestMemory& memory, uint64_t offset, std::span<std::byte> to) const;

  uint32_t format_;
  uint32_t width_;
  uint32_t height_;
  std::vector<Entry> backing_;
  mutable Mutex mutex_;
  std::vector<uint32_t> pixels_ GUARDED_BY(mutex_);
};

class GpuResources {
 public:
  static constexpr uint32_t kMaxEntries = 16384;  // of one backing
  // `limit`: bytes for pixels and lists together.
  explicit GpuResources(uint64_t limit) : limit_(limit) {}

  // Null: there is none.
  [[nodiscard]] std::shared_ptr<GpuResource> find(uint32_t id) const;
  // A new picture of zeros, or why not: kErrInvalidResourceId, kErrInvalidParameter, kErrOutOfMemory; kOkNodata.
  [[nodiscard]] virtio_gpu::Response create(const virtio_gpu::CreateResource& wanted);
  // Gives a picture its backing, all of it in guest memory; or why not.
  [[nodiscard]] virtio_gpu::Response attach(const GuestMemory& memory, uint32_t id,
                                            std::span<const virtio_gpu::MemoryEntry> entries);
  // The same from a saved state: entries are in memory that is checked when it is read; their offsets are found here.
  [[nodiscard]] virtio_gpu::Response load_backing(uint32_t id, std::vector<GpuResource::Entry> entries);
  void detach(uint32_t id);
  void remove(uint32_t id);
  void clear();
  [[nodiscard]] const std::map<uint32_t, std::shared_ptr<GpuResource>>& all() const { return all_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  [[nodiscard]] bool take(uint64_t bytes);
  uint64_t limit_;
  uint64_t bytes_ = 0;
  std::map<uint32_t, std::shared_ptr<GpuResource>> all_;
};

}  // namespace lodge
