#include "devices/block/iov.h"

#include <algorithm>
#include <cstring>

namespace lodge {

uint64_t slice_iov(std::span<const iovec> iov, uint64_t offset, uint64_t limit, std::vector<iovec>& out) {
  out.clear();
  uint64_t covered = 0;
  for (const iovec& part : iov) {
    if (offset >= part.iov_len) {
      offset -= part.iov_len;
      continue;
    }
    const uint64_t length = std::min<uint64_t>(part.iov_len - offset, limit - covered);
    out.push_back({static_cast<std::byte*>(part.iov_base) + offset, length});
    offset = 0;
    covered += length;
    if (covered == limit || out.size() == kMaxIov) {
      break;
    }
  }
  return covered;
}

void copy_to_iov(std::span<const iovec> parts, const std::byte* flat) {
  for (const iovec& part : parts) {
    std::memcpy(part.iov_base, flat, part.iov_len);
    flat += part.iov_len;
  }
}

void copy_from_iov(std::span<const iovec> parts, std::byte* flat) {
  for (const iovec& part : parts) {
    std::memcpy(flat, part.iov_base, part.iov_len);
    flat += part.iov_len;
  }
}

void zero_iov(std::span<const iovec> iov, uint64_t offset, uint64_t length) {
  for (const iovec& part : iov) {
    if (offset >= part.iov_len) {
      offset -= part.iov_len;
      continue;
    }
    const uint64_t size = std::min<uint64_t>(part.iov_len - offset, length);
    std::memset(static_cast<std::byte*>(part.iov_base) + offset, 0, size);
    offset = 0;
    length -= size;
    if (length == 0) {
      return;
    }
  }
}

}  // namespace lodge
