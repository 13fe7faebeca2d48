// The daemon as a whole: configuration, sockets, access, signals. Main thread.
#pragma once

#include <string>

#include "base/result.h"

namespace lodge {

struct DaemonOptions {
  std::string config_file;  // "": the usual one
  bool session = false;
  bool verbose = false;
};

// Serves until it is told to end. Guests are not touched.
[[nodiscard]] Result<void> run_daemon(const DaemonOptions& options);

}  // namespace lodge
