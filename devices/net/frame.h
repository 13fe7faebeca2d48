// Sizes and flags of frames that all network backends and devices agree on.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace lodge {

inline constexpr size_t kVnetHeader = 12;            // struct virtio_net_hdr_v1
inline constexpr size_t kMinFrame = 14;              // an Ethernet header
inline constexpr uint32_t kLeastSegment = 48;        // no system sends smaller ones, and one packet makes no more than 1400
inline constexpr size_t kMaxFrame = 65535 + 14 + 4;  // the largest IP packet in a tagged Ethernet frame

// TUNSETOFFLOAD flags that Debian 12's headers lack (Linux 6.2).
inline constexpr uint32_t kTunUso4 = 0x20;
inline constexpr uint32_t kTunUso6 = 0x40;
// struct virtio_net_hdr: gso_type of UDP segmentation (the same).
inline constexpr uint8_t kGsoUdpL4 = 5;

inline size_t iov_bytes(std::span<const iovec> iov) {
  size_t total = 0;
  for (const iovec& part : iov) {
    total += part.iov_len;
  }
  return total;
}

// Copies `from` into the iovecs from byte `offset` on; returns the bytes that fitted.
inline size_t scatter(std::span<const iovec> iov, size_t offset, std::span<const std::byte> from) {
  size_t done = 0;
  for (const iovec& part : iov) {
    if (offset >= part.iov_len) {
      offset -= part.iov_len;
      continue;
    }
    const size_t n = std::min(part.iov_len - offset, from.size() - done);
    std::memcpy(static_cast<std::byte*>(part.iov_base) + offset, from.data() + done, n);
    done += n;
    offset = 0;
    if (done == from.size()) {
      break;
    }
  }
  return done;
}

// Copies the bytes of the iovecs from `offset` on into `to`; returns how many there were.
inline size_t gather(std::span<const iovec> iov, size_t offset, std::span<std::byte> to) {
  size_t done = 0;
  for (const iovec& part : iov) {
    if (offset >= part.iov_len) {
      offset -= part.iov_len;
      continue;
    }
    const size_t n = std::min(part.iov_len - offset, to.size() - done);
    std::memcpy(to.data() + done, static_cast<const std::byte*>(part.iov_base) + offset, n);
    done += n;
    offset = 0;
    if (done == to.size()) {
      break;
    }
  }
  return done;
}

}  // namespace lodge
