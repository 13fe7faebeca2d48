// Uuid as text. Pure functions, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lodge {

using Uuid = std::array<uint8_t, 16>;

// 32 hexadecimal digits with or without dashes, blanks around them as libvirt allows; nullopt: it is no UUID.
[[nodiscard]] std::optional<Uuid> parse_uuid(std::string_view text);

// "11111111-2222-4333-8444-555555555555"
[[nodiscard]] std::string print_uuid(const Uuid& uuid);

// Version and variant bits of a random UUID set in random bytes.
[[nodiscard]] Uuid random_uuid(std::array<uint8_t, 16> bytes);

}  // namespace lodge
