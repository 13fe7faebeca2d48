// Processes of guests: started in sessions of their own so that they outlive the daemon, found again by number and start
// time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"

namespace lodge {

struct Process {
  pid_t pid = -1;
  uint64_t start_time = 0;  // clock ticks since the host's boot: a number used again has another one
  Fd pidfd;                 // readable once it has ended
};

struct SpawnRequest {
  std::vector<std::string> command;  // the first is the program's path
  std::vector<int> fds;              // the child has them as 3, 4, ... in this order
  int output = -1;                   // its standard output and error
  std::string folder;                // of its run; marks the process, see marked_processes()
};

// Errors name the program.
[[nodiscard]] Result<Process> spawn(const SpawnRequest& request);
// The process of that number and start time; an error if it is not there any more.
[[nodiscard]] Result<Process> find_process(pid_t pid, uint64_t start_time);
// Processes that were spawned for runs below this folder, whether or not anything is written of them.
[[nodiscard]] std::vector<Process> marked_processes(const std::string& folder);
// Waits up to `milliseconds` for it to end, and takes its exit status from the kernel if it is our child.
[[nodiscard]] bool wait_for_end(const Process& process, int milliseconds);
void kill_process(const Process& process, int signal);

}  // namespace lodge
