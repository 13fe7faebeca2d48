// A GUID as users write it: 32 hexadecimal digits, with dashes as in a UUID or without any. Pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lodge {

using Guid = std::array<uint8_t, 16>;

// The bytes in the order of the text; nullopt: it is none.
[[nodiscard]] std::optional<Guid> parse_guid(std::string_view text);

// "01234567-89ab-cdef-0123-456789abcdef"
[[nodiscard]] std::string print_guid(const Guid& guid);

// The same GUID as systems keep it in memory: its first three numbers (32, 16 and 16 bits) are little-endian (SMBIOS 3.6,
// section 7.2.1; the generation ID has it, too). Doing it twice gives the first again.
[[nodiscard]] Guid memory_order(const Guid& guid);

}  // namespace lodge
