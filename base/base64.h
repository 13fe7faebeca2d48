// Base64 (RFC 4648, with padding) for bytes in JSON. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace lodge {

[[nodiscard]] std::string to_base64(std::span<const std::byte> bytes);
// Stops at the padding, or at the first character that is none of the digits.
[[nodiscard]] std::string from_base64(std::string_view text);

}  // namespace lodge
