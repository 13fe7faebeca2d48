// Owning file descriptors, event counters and memory files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace lodge {

// An owned descriptor; closed on destruction. Moved-from is empty (-1).
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset();
  // A second descriptor for the same open file, close-on-exec.
  [[nodiscard]] Result<Fd> duplicate() const;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added; the error names the path.
[[nodiscard]] Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0600);

// The whole of a small file, at most `limit` bytes; errors name the path.
[[nodiscard]] Result<std::string> read_file(const std::string& path, uint64_t limit);

// Writes all of `data` to fd, or fails.
[[nodiscard]] Result<void> write_all(int fd, std::string_view data);

// A non-blocking eventfd. signal() and drain() may be called from any thread.
class EventFd {
 public:
  [[nodiscard]] static Result<EventFd> create();
  [[nodiscard]] int get() const { return fd_.get(); }
  void signal() const;
  // Clears the counter and returns it (0 when nothing was pending).
  [[nodiscard]] uint64_t drain() const;

 private:
  explicit EventFd(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace lodge
