// UnixListener: a listening AF_UNIX stream socket at a path. Its mode is 0600 from its first moment, a socket there that
// nobody listens on any more is replaced, and at the end the path is removed if it is still ours.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace lodge {

class UnixListener {
 public:
  UnixListener() = default;
  // `what` begins the errors: "control socket".
  [[nodiscard]] static Result<UnixListener> create(const std::string& path, std::string_view what);
  ~UnixListener();
  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) noexcept;
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  // The socket, once; the path stays this object's.
  [[nodiscard]] Fd take_socket() { return std::move(socket_); }

 private:
  Fd socket_;
  std::string path_;  // ours to remove
  uint64_t inode_ = 0;
};

}  // namespace lodge
