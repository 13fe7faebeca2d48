// Transient scopes of systemd, over its bus.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace lodge {

// Whether systemd runs this host.
[[nodiscard]] bool systemd_runs();
// A unit's name for guest `name`, as systemd-machined would choose it.
[[nodiscard]] std::string scope_name(int32_t id, const std::string& name);
// Makes the scope in machine.slice and waits until the process is in it.
[[nodiscard]] Result<void> start_scope(const std::string& unit, const std::string& guest, pid_t pid);
// Where a process is, below the mount of cgroups version 2: "/machine.slice/...".
[[nodiscard]] Result<std::string> cgroup_of(pid_t pid);

}  // namespace lodge
