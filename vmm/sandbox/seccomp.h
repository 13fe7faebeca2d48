// Seccomp: what system calls each kind of thread may make once it works, and no new privileges for the process.
//
// Called once by each thread, first thing (vCPU, I/O, display) or when the machine is built (control). A call that is not on
// the list writes one line and ends the process with status 159. Lists: seccomp.cc; why: docs/threat-model.md.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace lodge {

// The last two are lodge-vnc's processes.
enum class ThreadKind : uint8_t { control, vcpu, io, display, vnc_server, vnc_client };

// For the calling thread and the threads it will start. No effect in builds with sanitizers or coverage, whose run-time
// libraries make calls of their own.
[[nodiscard]] Result<void> enter_sandbox(ThreadKind kind);

}  // namespace lodge
