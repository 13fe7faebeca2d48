// UUIDs: 16 bytes in the order of their text. Pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lodge {

using Uuid = std::array<uint8_t, 16>;

// 32 hexadecimal digits, with dashes where a UUID has them or without any; nullopt: it is none.
[[nodiscard]] std::optional<Uuid> parse_guid(std::string_view text);

// "01234567-89ab-cdef-0123-456789abcdef"
[[nodiscard]] std::string print_uuid(const Uuid& uuid);

// The same UUID as systems keep it in memory: its first three numbers (32, 16 and 16 bits) are little-endian (SMBIOS 3.6,
// section 7.2.1; the generation ID has it, too). Doing it twice gives the first again.
[[nodiscard]] Uuid memory_order(const Uuid& uuid);

}  // namespace lodge
