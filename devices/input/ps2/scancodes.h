// Scan codes: what a key sends in sets 1 and 2, and the controller's translation between them.
#pragma once

#include <array>
#include <cstdint>

namespace lodge::ps2 {

// What a set 2 byte becomes in set 1 (8042 firmware's table); F0 is not among them.
[[nodiscard]] uint8_t to_set1(uint8_t set2);

// Up to eight bytes.
struct Sequence {
  std::array<uint8_t, 8> bytes{};
  uint8_t size = 0;
  constexpr void add(uint8_t byte) { bytes[size++] = byte; }
};

// What the key with Linux's number `code` sends when it goes down or up; empty: keyboards have no such key. `set`: 1 or 2.
[[nodiscard]] Sequence scancodes(uint16_t code, bool down, uint8_t set);

}  // namespace lodge::ps2
