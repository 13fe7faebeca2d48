// The commands of lodge-vnc's control socket: JSON lines as the monitor's (vmm/control), with a table of its own.
#pragma once

#include <functional>

#include "vmm/control/commands.h"
#include "vmm/vnc/server.h"

namespace lodge::vnc {

// For ControlServer. `server` outlives it; `quit` ends the process soon.
[[nodiscard]] RunRequest control_commands(VncServer& server, std::function<void()> quit);

}  // namespace lodge::vnc
