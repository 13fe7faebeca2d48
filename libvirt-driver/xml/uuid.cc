#include "libvirt-driver/xml/uuid.h"

#include <fmt/core.h>

#include "base/hex.h"

namespace lodge {

std::optional<Uuid> parse_uuid(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) {
    return std::nullopt;
  }
  text = text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
  Uuid uuid{};
  size_t digits = 0;
  for (const char c : text) {
    if (c == '-' && digits != 0 && digits % 2 == 0) {
      continue;
    }
    const int digit = hex_digit(c);
    if (digit < 0 || digits == 2 * uuid.size()) {
      return std::nullopt;
    }
    uint8_t& byte = uuid[digits / 2];
    byte = static_cast<uint8_t>(byte << 4 | digit);
    ++digits;
  }
  return digits == 2 * uuid.size() ? std::optional(uuid) : std::nullopt;
}

Uuid random_uuid(std::array<uint8_t, 16> bytes) {
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  return bytes;
}

}  // namespace lodge
