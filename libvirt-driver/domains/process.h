// Processes of guests: started in sessions of their own so that they outlive the daemon, found again by number and start
// time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "libvirt-driver/domains/account.h"

namespace lodge {

inline constexpr int kFirstInherited = 3;  // spawn() gives the child its descriptors from here on

struct Process {
  pid_t pid = -1;
  uint64_t start_time = 0;  // clock ticks since the host's boot: a number used again has another one
  Fd pidfd;                 // readable once it has ended
};

struct SpawnRequest {
  std::vector<std::string> command;  // the first is the program's path
  std::vector<int> fds;              // the child has them as 3, 4, ... in this order
  int output = -1;                   // its standard output and error
  std::optional<Account> account;    // whom it runs as; none: as we do
};

// A process that is there, with a number that can be written down, and has not begun its program: it waits for let_run(),
// and vanishes when this is dropped or the daemon dies first. So no program runs that nobody knows of.
struct Spawned {
  Process process;
  Fd gate;    // a byte lets it go on, the end of the pipe ends it
  Fd report;  // errno of a failed exec, or the end of the pipe
};

// Errors name the program.
[[nodiscard]] Result<Spawned> spawn(const SpawnRequest& request);
// Waits until the program has begun. `program`: for the error.
[[nodiscard]] Result<void> let_run(Spawned& spawned, const std::string& program);
// The process of that number and start time; an error if it is not there any more.
[[nodiscard]] Result<Process> find_process(pid_t pid, uint64_t start_time);
// Waits up to `milliseconds` for it to end, and takes its exit status from the kernel if it is our child.
[[nodiscard]] bool wait_for_end(const Process& process, int milliseconds);
void kill_process(const Process& process, int signal);

// Runs a helper of the host's ("/usr/sbin/tc") over a script that it reads with -batch, to its end, for some seconds at
// most. Error: what it says.
[[nodiscard]] Result<void> run_script(const std::string& program, const std::string& script);

}  // namespace lodge
