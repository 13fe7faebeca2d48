// The threads of a guest's monitor. Which is a vCPU's the monitor says, and a guest that has broken out speaks for it: a
// number counts only if the kernel has that thread under the monitor's own process. Any worker.
#pragma once

#include <map>
#include <vector>

#include "libvirt-driver/domains/domain.h"

namespace lodge {

struct GuestThreads {
  std::map<uint32_t, pid_t> vcpus;  // by number
  std::vector<pid_t> others;
};

// Whether it is a thread of the process, which runs.
[[nodiscard]] bool is_thread_of(const Process& process, pid_t thread);
// What query-cpus told, checked. Error: OPERATION_FAILED that names the thread that is another's.
[[nodiscard]] Answer<GuestThreads> threads_in(const Process& process, const Json& cpus);
// Asks the monitor.
[[nodiscard]] Answer<GuestThreads> guest_threads(const Run& run);

}  // namespace lodge
