// The arguments of `lodge-vmm run` into a MachineConfig. Called by main only.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "vmm/config/machine_config.h"

namespace lodge {

struct RunRequest {
  MachineConfig config;
  bool dry_run = false;
  LogLevel log_level = LogLevel::warning;
};

// --config FILE is applied first, then the other options in their order. Errors name the option.
// `base`: what to start from (a saved guest's configuration) instead of the defaults; disks, interfaces, ports and channels
// given here then replace the ones it has.
[[nodiscard]] Result<RunRequest> parse_run_arguments(const std::vector<std::string>& arguments,
                                                     const MachineConfig* base = nullptr);

// What --help prints.
[[nodiscard]] std::string run_help();

[[nodiscard]] Result<void> check_net(const NetSettings& net);

// Checks that only need the values themselves: names, combinations, sums.
[[nodiscard]] Result<void> validate(const MachineConfig& config);

}  // namespace lodge
