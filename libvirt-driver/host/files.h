// Reading of the small files of /proc and /sys. Errors name the path. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lodge::host {

// No host has a processor or a memory node above this; larger numbers are refused before anything is allocated.
inline constexpr uint32_t kMaxIndex = 65535;

[[nodiscard]] bool exists(const std::string& path);
[[nodiscard]] std::string_view trimmed(std::string_view text);
// A decimal number and nothing else, white space around it apart.
[[nodiscard]] std::optional<uint64_t> number(std::string_view text);

// The file's text without white space at its ends.
[[nodiscard]] Result<std::string> read_text(const std::string& path);
// The same; nothing when the file cannot be read.
[[nodiscard]] std::optional<std::string> read_text_if_there(const std::string& path);
[[nodiscard]] Result<uint64_t> read_number(const std::string& path);
[[nodiscard]] std::optional<uint64_t> read_number_if_there(const std::string& path);
[[nodiscard]] Result<void> write_text(const std::string& path, std::string_view text);

// "0-3,8" as {0,1,2,3,8}, ascending; "" is empty. `what` begins the error.
[[nodiscard]] Result<std::vector<uint32_t>> parse_list(std::string_view text, std::string_view what);
[[nodiscard]] Result<std::vector<uint32_t>> read_list(const std::string& path);
// The shortest text for ascending numbers: {0,1,2,3,8} as "0-3,8".
[[nodiscard]] std::string list_text(const std::vector<uint32_t>& numbers);

// The number behind "KEY" and white space or a colon in lines of a meminfo; "Node 0 MemFree:  12 kB" is found by "MemFree".
[[nodiscard]] std::optional<uint64_t> meminfo_value(std::string_view text, std::string_view key);

}  // namespace lodge::host
