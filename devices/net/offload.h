// Checksums and segmentation in software: for NICs whose guest leaves them to the card, where the other side of the NIC does
// not do them. Pure functions over one frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace lodge::net {

// The Internet checksum's sum of `bytes`, folded to 16 bits, not inverted, in the order of the wire. `start`: a sum before.
[[nodiscard]] uint16_t sum(std::span<const std::byte> bytes, uint32_t start = 0);
[[nodiscard]] uint16_t get16(std::span<const std::byte> bytes, size_t at);
void put16(std::span<std::byte> bytes, size_t at, uint16_t value);

// Puts the checksum of frame[begin, end) at `at`; what stands there counts (a pseudo header's sum). False: the places are
// not within the frame.
[[nodiscard]] bool put_checksum(std::span<std::byte> frame, size_t begin, size_t end, size_t at);

// A frame that is to be cut into segments. Offsets from its start.
struct Segmentation {
  size_t ip = 0;  // IPv4 or IPv6 header
  bool ipv6 = false;
  size_t transport = 0;  // TCP or UDP header
  bool tcp = true;
  size_t headers = 0;  // bytes that each segment begins with
  size_t size = 0;     // payload bytes of a segment
};

// The largest frame that segment() takes.
inline constexpr size_t kMaxUnsegmented = 65535 + 18;

// Whether all headers are where they are said to be.
[[nodiscard]] bool is_sound(const Segmentation& what, size_t frame);

// Sets the IP header's length and checksum for a frame of this size, and the transport checksum to that of the pseudo header
// with its length: what a kernel wants that completes or cuts the frame itself.
void complete_headers(std::span<std::byte> frame, const Segmentation& what);

// Calls `send` with each segment in turn, whole and with its checksums. `scratch` holds one segment. Stops when send says
// no; returns how many were sent, of all.
struct Segments {
  size_t sent = 0;
  size_t all = 0;
};
[[nodiscard]] Segments segment(std::span<const std::byte> frame, const Segmentation& what, std::span<std::byte> scratch,
                               size_t first, const std::function<bool(std::span<const std::byte>)>& send);

}  // namespace lodge::net
