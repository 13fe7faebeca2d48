#include "base/uuid.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/hex.h"

namespace lodge {

std::optional<Uuid> parse_guid(std::string_view text) {
  constexpr size_t kDigits = 32;
  constexpr size_t kWithDashes = 36;
  const bool dashes = text.size() == kWithDashes;
  if (!dashes && text.size() != kDigits) {
    return std::nullopt;
  }
  Uuid uuid{};
  size_t digit = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (dashes && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (text[i] != '-') {
        return std::nullopt;
      }
      continue;
    }
    const int value = hex_digit(text[i]);
    if (value < 0) {
      return std::nullopt;
    }
    uuid.at(digit / 2) = static_cast<uint8_t>((uuid.at(digit / 2) << 4) | value);
    ++digit;
  }
  return uuid;
}

std::string print_uuid(const Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid.at(i));
  }
  return text;
}

Uuid memory_order(const Uuid& uuid) {
  Uuid turned = uuid;
  std::reverse(turned.begin(), turned.begin() + 4);
  std::reverse(turned.begin() + 4, turned.begin() + 6);
  std::reverse(turned.begin() + 6, turned.begin() + 8);
  return turned;
}

}  // namespace lodge
