// The descriptors that a configuration names: numbers of this process, handed over by whoever started it. Each is owned by
// what uses it from then on. On the control thread, before the machine is built.
#pragma once

#include "base/result.h"
#include "vmm/config/machine_config.h"

namespace lodge {

// Checks that each descriptor is open and named once, and keeps it from programs that we start. Errors name the setting.
[[nodiscard]] Result<void> claim_descriptors(MachineConfig& config);

// Forgets them all: in another process they mean nothing.
void forget_descriptors(MachineConfig& config);

}  // namespace lodge
