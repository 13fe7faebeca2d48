#include "vmm/vnc/picture.h"

#include <sys/mman.h>
#include <algorithm>
#include <cstring>
#include <new>

namespace lodge::vnc {
namespace {

uint32_t tiles_of(uint32_t pixels, uint32_t tile) { return (pixels + tile - 1) / tile; }

}  // namespace

void SharedPicture::Unmap::operator()(std::byte* at) const { ::munmap(at, kBytes); }

SharedPicture::SharedPicture(std::byte* at)
    : memory_(at),
      header_(new(at) Header{}),
      // SAFETY: the mapping has room for kMaxPixels behind the header, which ends at a page.
      pixels_(reinterpret_cast<uint32_t*>(at + kHeaderBytes)) {}

Result<SharedPicture> SharedPicture::create() {
  void* const at = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return fail_errno(errno, "memory for a picture of {} MiB", kBytes >> 20);
  }
  return SharedPicture(static_cast<std::byte*>(at));
}

SharedPicture::Size SharedPicture::size() const {
  const uint32_t size = header().size.load(std::memory_order_relaxed);
  return {size >> 16, size & 0xFFFFU};
}

bool SharedPicture::take_tile(const Update& update, const Rect& tile) {
  bool differs = false;
  for (uint32_t y = tile.y; y < tile.y + tile.height; ++y) {
    const size_t at = size_t{y} * update.width + tile.x;
    const uint32_t* const from = &update.source[at];
    if (std::memcmp(pixels_ + at, from, tile.width * sizeof(uint32_t)) != 0) {
      std::memcpy(pixels_ + at, from, tile.width * sizeof(uint32_t));
      differs = true;
    }
  }
  return differs;
}

bool SharedPicture::update(const Update& update) {
  Header& h = header();
  const uint32_t serial = h.serial.load(std::memory_order_relaxed) + 1;
  const bool resized = Size{update.width, update.height} != size();
  uint32_t first = update.first;
  uint32_t last = update.last;
  if (resized) {
    first = 0;
    last = update.height;
    ::madvise(pixels_, display::kPictureBytes, MADV_REMOVE);  // a smaller picture needs less; what is read there is 0
    h.size.store(update.width << 16 | update.height, std::memory_order_relaxed);
  }
  const uint32_t columns = tiles_of(update.width, kTileWidth);
  bool changed = resized;
  for (uint32_t row = first / kTileHeight; row < tiles_of(last, kTileHeight); ++row) {
    const uint32_t y = std::max(row * kTileHeight, first);
    const uint32_t height = std::min((row + 1) * kTileHeight, last) - y;
    for (uint32_t column = 0; column < columns; ++column) {
      const uint32_t x = column * kTileWidth;
      if (take_tile(update, {x, y, std::min(kTileWidth, update.width - x), height}) || resized) {
        h.changed[size_t{row} * columns + column].store(serial, std::memory_order_release);
        changed = true;
      }
    }
  }
  if (changed) {
    h.serial.store(serial, std::memory_order_release);
  }
  return changed;
}

void SharedPicture::changes(uint32_t since, Size size, const std::function<void(const Rect&)>& fn) const {
  const auto [width, height] = size;
  const uint32_t columns = tiles_of(width, kTileWidth);
  const uint32_t rows = tiles_of(height, kTileHeight);
  for (uint32_t row = 0; row < rows; ++row) {
    const uint32_t y = row * kTileHeight;
    uint32_t begin = columns;  // of a run of tiles; columns: none
    for (uint32_t column = 0; column <= columns; ++column) {
      // Serials go round after 2^32 changes.
      const bool changed =
          column < columns &&
          static_cast<int32_t>(header().changed[size_t{row} * columns + column].load(std::memory_order_acquire) - since) > 0;
      if (changed && begin == columns) {
        begin = column;
      } else if (!changed && begin < column) {
        const uint32_t x = begin * kTileWidth;
        fn({x, y, std::min(column * kTileWidth, width) - x, std::min(kTileHeight, height - y)});
        begin = columns;
      }
    }
  }
}

Result<void> SharedPicture::make_read_only() const {
  if (::mprotect(memory_.get(), kBytes, PROT_READ) != 0) {
    return fail_errno(errno, "protect the picture");
  }
  return {};
}

}  // namespace lodge::vnc
