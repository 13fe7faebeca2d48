// An EDID 1.4 block (VESA Enhanced EDID Standard, release A, revision 2) of a screen that prefers one size. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lodge {

inline constexpr size_t kEdidSize = 128;
// What a detailed timing has room for at 60 Hz.
inline constexpr uint32_t kMaxEdidWidth = 3840;
inline constexpr uint32_t kMaxEdidHeight = 2400;

// `width`, `height`: pixels, at most the above, and not 0. 60 Hz, by CVT's reduced blanking.
[[nodiscard]] std::array<std::byte, kEdidSize> edid_block(uint32_t width, uint32_t height);

}  // namespace lodge
