// Where a daemon's log goes: several places, each with a level of its own.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace lodge {

struct LogPlace {
  LogLevel level = LogLevel::warning;
  std::string path;  // "": standard error
};

// Replaces the places; main thread, before other threads exist. Error: a file that cannot be written.
[[nodiscard]] Result<void> log_to(const std::vector<LogPlace>& places);

}  // namespace lodge
