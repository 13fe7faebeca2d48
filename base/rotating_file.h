// RotatingFile: a log that never grows beyond its limit. When it is full its text moves into the first backup, that one's
// into the second and so on; the last one's is gone. Without backups the file starts over.
//
// Texts move, not names: whoever has only the open descriptors (a confined monitor, with its daemon away) can do it.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"

namespace lodge {

// Moves the texts now and empties `file`. A backup that takes no more (a full disk) keeps what it could take.
void roll_over(int file, std::span<const Fd> backups);

// What is known of a log before whoever writes it opens it: by the number of its descriptor. The process's own table, filled
// when it starts (vmm/run.cc).
struct LogRoom {
  uint64_t limit = 0;  // bytes; 0: none
  std::vector<Fd> backups;
};
void set_log_room(int log, LogRoom room);
// Takes it out; no limit if there is none.
[[nodiscard]] LogRoom take_log_room(int log);

class RotatingFile {
 public:
  // `file` was opened with O_APPEND, and for reading too if there are backups; backups without O_APPEND, for reading and
  // writing. limit 0, or a file that is none (a pipe): no limit.
  RotatingFile(Fd file, LogRoom room);

  // Errors: what write(2) says; what came before it is written. Any thread.
  [[nodiscard]] Result<void> write(std::string_view text);

 private:
  [[nodiscard]] size_t fitting(std::string_view text) REQUIRES(mutex_);
  void start_over() REQUIRES(mutex_);

  Mutex mutex_;
  Fd file_;
  LogRoom room_;
  uint64_t size_ GUARDED_BY(mutex_) = 0;  // not less than the file's; more once somebody else has shortened it
};

}  // namespace lodge
