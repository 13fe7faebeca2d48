#include "devices/display/vga/video_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace lodge {

Result<std::unique_ptr<VideoMemory>> VideoMemory::create(uint32_t size) {
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    return fail_errno(errno, "cannot get {} bytes of video memory", size);
  }
  return std::unique_ptr<VideoMemory>(new VideoMemory(static_cast<std::byte*>(mapped), size));
}

VideoMemory::~VideoMemory() { ::munmap(host_, size_); }

uint8_t VideoMemory::load(uint32_t offset) const {
  return __atomic_load_n(reinterpret_cast<const uint8_t*>(host_) + (offset & (size_ - 1)), __ATOMIC_RELAXED);
}

void VideoMemory::store(uint32_t offset, uint8_t value) {
  __atomic_store_n(reinterpret_cast<uint8_t*>(host_) + (offset & (size_ - 1)), value, __ATOMIC_RELAXED);
}

uint32_t VideoMemory::load_planes(uint32_t offset) const {
  // SAFETY: the mapping is aligned to pages and the offset to 4.
  return __atomic_load_n(reinterpret_cast<const uint32_t*>(host_) + (offset & (size_ - 1)) / 4, __ATOMIC_RELAXED);
}

void VideoMemory::store_planes(uint32_t offset, uint32_t value) {
  // SAFETY: as above.
  __atomic_store_n(reinterpret_cast<uint32_t*>(host_) + (offset & (size_ - 1)) / 4, value, __ATOMIC_RELAXED);
}

void VideoMemory::copy_out(uint32_t offset, std::span<uint8_t> to) const {
  while (!to.empty()) {
    offset &= size_ - 1;
    const size_t length = std::min<size_t>(to.size(), size_ - offset);
    std::memcpy(to.data(), host_ + offset, length);
    to = to.subspan(length);
    offset = 0;
  }
}

void VideoMemory::copy_in(uint32_t offset, std::span<const uint8_t> from) {
  while (!from.empty()) {
    offset &= size_ - 1;
    const size_t length = std::min<size_t>(from.size(), size_ - offset);
    std::memcpy(host_ + offset, from.data(), length);
    from = from.subspan(length);
    offset = 0;
  }
}

void VideoMemory::clear(uint32_t offset, uint32_t length) {
  if (offset < size_) {
    std::memset(host_ + offset, 0, std::min(length, size_ - offset));
  }
}

}  // namespace lodge
