// UUIDs as libvirt reads and makes them. Pure functions, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/uuid.h"

namespace lodge {

// 32 hexadecimal digits with or without dashes, blanks around them as libvirt allows; nullopt: it is no UUID.
[[nodiscard]] std::optional<Uuid> parse_uuid(std::string_view text);

// Version and variant bits of a random UUID set in random bytes.
[[nodiscard]] Uuid random_uuid(std::array<uint8_t, 16> bytes);

}  // namespace lodge
