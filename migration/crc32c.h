// CRC-32C (Castagnoli), as iSCSI has it: guards saved states against damage, not against malice. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lodge {

// Of `bytes` after what `before` is the CRC of.
[[nodiscard]] uint32_t crc32c(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace lodge
