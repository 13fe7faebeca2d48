// The syntax of libvirtd.conf: lines KEY = VALUE, where a value is a number, a string in " or ', or a list of strings in [ ]
// that may go over several lines; # begins a comment. A string has no escapes and ends on its line.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace lodge {

using ConfValue = std::variant<int64_t, std::string, std::vector<std::string>>;

struct ConfEntry {
  std::string key;
  ConfValue value;
  uint32_t line = 0;  // of the key
};

// Entries in order. Errors are "FILE:LINE: what is wrong"; a key that is there twice is one.
[[nodiscard]] Result<std::vector<ConfEntry>> parse_conf(std::string_view text, std::string_view file);

}  // namespace lodge
