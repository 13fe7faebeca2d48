// Units and checked arithmetic shared by every layer.
#pragma once

#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace lodge {

// A guest physical address.
struct Gpa {
  uint64_t value = 0;
  friend constexpr auto operator<=>(Gpa, Gpa) = default;
};

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;
inline constexpr uint64_t kPageSize = 4096;

// a + b, or nothing when it does not fit.
[[nodiscard]] constexpr std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    return std::nullopt;
  }
  return sum;
}

// a * b, or nothing when it does not fit.
[[nodiscard]] constexpr std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    return std::nullopt;
  }
  return product;
}

// Rounding to a power of two. align_up may wrap for values within `alignment` of 2^64; callers bound their input.
[[nodiscard]] constexpr uint64_t align_down(uint64_t value, uint64_t alignment) { return value & ~(alignment - 1); }
[[nodiscard]] constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
  return align_down(value + alignment - 1, alignment);
}
[[nodiscard]] constexpr bool is_aligned(uint64_t value, uint64_t alignment) { return (value & (alignment - 1)) == 0; }

// True when [base, base + length) lies inside [0, limit) without overflow.
[[nodiscard]] constexpr bool range_fits(uint64_t base, uint64_t length, uint64_t limit) {
  return length <= limit && base <= limit - length;
}

}  // namespace lodge
