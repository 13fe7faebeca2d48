// Runs one guest from its configuration to its end: control loop, machine, control socket, signals. Called by main.
#pragma once

#include "base/result.h"
#include "vmm/config/machine_config.h"

namespace lodge {

class SavedGuest;

// The process's exit status, or why the guest did not start. `saved`: continue this guest, whose machine `config` describes.
[[nodiscard]] Result<int> run_guest(const MachineConfig& config, const SavedGuest* saved);

// Takes the descriptors of log_limits, before anything is logged.
[[nodiscard]] Result<void> limit_logs(const MachineConfig& config);

}  // namespace lodge
