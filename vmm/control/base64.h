// Base64 (RFC 4648, with padding) for bytes in JSON. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace lodge {

[[nodiscard]] inline std::string to_base64(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    unsigned group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < left ? std::to_integer<unsigned>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= left ? kDigits[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

}  // namespace lodge
