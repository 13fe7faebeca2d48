// VideoMemory: the display's own RAM. The guest maps it as a BAR and changes it under us at any moment, so all that is read
// here is read once, into a copy. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

namespace lodge {

class VideoMemory {
 public:
  // Zeroed pages; `size` is a power of two, at least 256 KiB. Error: the host has no memory.
  [[nodiscard]] static Result<std::unique_ptr<VideoMemory>> create(uint32_t size);
  ~VideoMemory();
  VideoMemory(const VideoMemory&) = delete;
  VideoMemory& operator=(const VideoMemory&) = delete;

  [[nodiscard]] uint32_t size() const { return size_; }
  // What KVM maps; nothing else looks through it.
  [[nodiscard]] std::byte* host() const { return host_; }

  // Offsets wrap at the end, as a display's address counters do.
  [[nodiscard]] uint8_t load(uint32_t offset) const;
  void store(uint32_t offset, uint8_t value);
  // Four planes at one address: `offset` is a multiple of 4.
  [[nodiscard]] uint32_t load_planes(uint32_t offset) const;
  void store_planes(uint32_t offset, uint32_t value);
  void copy_out(uint32_t offset, std::span<uint8_t> to) const;
  void copy_in(uint32_t offset, std::span<const uint8_t> from);
  void clear(uint32_t offset, uint32_t length);

 private:
  VideoMemory(std::byte* host, uint32_t size) : host_(host), size_(size) {}
  std::byte* host_;
  uint32_t size_;
};

}  // namespace lodge
