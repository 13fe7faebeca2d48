// EndFile: one line of JSON that tells why a guest's monitor ended, for whoever was not there. The file is opened at the
// start, since nothing can be opened later; an empty one means that the monitor was killed or crashed. On the control
// thread.
//
//   {"reason":"guest-shutdown","exit":0}      {"reason":"error","exit":1,"detail":"..."}
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"

namespace lodge {

class EndFile {
 public:
  // Opens the path, or takes the open file. Neither: write() does nothing. What the file had is gone.
  [[nodiscard]] static Result<EndFile> create(const std::string& path, Fd open = {});
  // The whole line in one system call. `detail`: for errors.
  void write(std::string_view reason, int exit_status, std::string_view detail = {}) const;

 private:
  explicit EndFile(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace lodge
