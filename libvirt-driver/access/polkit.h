// Asks polkit, over D-Bus, whether a local process may do something. polkit may ask the user for a password, so an answer
// can take long. Any thread that may wait.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "libvirt-driver/core/call_error.h"

namespace lodge::access {

struct PolkitSubject {
  pid_t pid = -1;
  uint64_t start_time = 0;  // tells a process from a later one of the same number
  uid_t uid = static_cast<uid_t>(-1);
};

// Field starttime of proc(5); 0: the process is gone.
[[nodiscard]] uint64_t process_start_time(pid_t pid);

// Error: what polkit said, in libvirt's terms. `cancelled` is asked several times a second; true ends the question.
[[nodiscard]] Answer<void> ask_polkit(const PolkitSubject& subject, const std::string& action,
                                      const std::function<bool()>& cancelled);

}  // namespace lodge::access
