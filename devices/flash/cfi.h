// What a NOR flash says of itself: the CFI query structure (JESD68.01 section 2) with Intel's extended table, and the
// identifier codes. Pure, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lodge {

inline constexpr uint32_t kFlashBlock = 4096;
inline constexpr uint32_t kFlashBufferShift = 8;  // of the write buffer's size
inline constexpr uint32_t kFlashBuffer = 1U << kFlashBufferShift;

inline constexpr size_t kCfiSize = 0x40;
[[nodiscard]] std::array<uint8_t, kCfiSize> cfi_table(uint32_t size);

// By the offset in a block, after the identifier command.
[[nodiscard]] uint8_t flash_identifier(uint32_t offset);

}  // namespace lodge
