// What the card looks up in a frame by itself: IPv4, and TCP or UDP in it (there is no offload for others). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace lodge::rtl8139 {

inline constexpr size_t kTagAt = 12;
inline constexpr size_t kTagBytes = 4;
inline constexpr uint16_t kTagType = 0x8100;

struct Headers {
  size_t ip = 0;
  size_t transport = 0;
  size_t end = 0;  // of the IP packet, within the frame
  bool tcp = false;
  bool udp = false;
};

// An IPv4 frame, tagged or not, whose header is whole; a fragment is neither TCP nor UDP.
[[nodiscard]] std::optional<Headers> find_headers(std::span<const std::byte> frame);

// The sum that stands where TCP's or UDP's checksum comes, before the card has computed it.
[[nodiscard]] uint16_t pseudo_sum(std::span<const std::byte> frame, const Headers& headers);
[[nodiscard]] size_t checksum_at(const Headers& headers);

// Bits of the first doubleword of a receive descriptor: the protocol, and what is wrong.
[[nodiscard]] uint32_t look_at_checksums(std::span<const std::byte> frame);

}  // namespace lodge::rtl8139
