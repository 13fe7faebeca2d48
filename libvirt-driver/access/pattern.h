// Patterns of virtlodged.conf's lists of names: '*' stands for any letters, '?' for one. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lodge::access {

// A list of patterns; absent: every name is fine. Empty: none is.
using Patterns = std::optional<std::vector<std::string>>;

// Whether the whole text is what the pattern says.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text);
[[nodiscard]] bool matches_any(const Patterns& patterns, std::string_view text);

}  // namespace lodge::access
