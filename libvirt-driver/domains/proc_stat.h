// What the kernel knows of a process: processor times, memory. Zeroes when it is gone. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace lodge {

struct CpuTime {  // ns
  uint64_t total = 0;
  uint64_t user = 0;
  uint64_t system = 0;
};
[[nodiscard]] CpuTime process_cpu_time(pid_t pid);

struct ThreadStat {
  uint64_t time = 0;   // ns on a processor
  uint64_t wait = 0;   // ns in line for one
  int processor = -1;  // where it ran last
  bool running = false;
};
[[nodiscard]] ThreadStat thread_stat(pid_t process, pid_t thread);

struct ProcessMemory {
  uint64_t rss_kib = 0;
  uint64_t major_faults = 0;
  uint64_t minor_faults = 0;
};
[[nodiscard]] ProcessMemory process_memory(pid_t pid);

}  // namespace lodge
