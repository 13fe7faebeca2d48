// The sets of key codes that clients may send (VIR_KEYCODE_SET_*), as Linux's numbers. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lodge {

// None: the set is not known, or has no such key.
[[nodiscard]] std::optional<uint16_t> linux_key(uint32_t codeset, uint32_t code);

// "atset1", or "" for a set that is not known.
[[nodiscard]] std::string_view codeset_name(uint32_t codeset);

}  // namespace lodge
