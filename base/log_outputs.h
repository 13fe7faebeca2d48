// Where a log goes. A daemon's: several places, each with a level of its own. A monitor's: standard error, as large as it
// may be.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/rotating_file.h"

namespace lodge {

struct LogPlace {
  LogLevel level = LogLevel::warning;
  std::string path;  // "": standard error
};

// Replaces the places; main thread, before other threads exist. Error: a file that cannot be written.
[[nodiscard]] Result<void> log_to(const std::vector<LogPlace>& places);

// Standard error keeps to its room; main thread, before log_init().
[[nodiscard]] Result<void> limit_log(LogRoom room);

}  // namespace lodge
