#include "vmm/control/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace lodge {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("a socket's path has 1 to {} bytes; use a shorter one", sizeof address.sun_path - 1);
  }
  path.copy(address.sun_path, path.size());
  return address;
}

Result<Fd> new_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return fail_errno(errno, "make a socket");
  }
  return fd;
}

// Removes a socket that nobody listens on any more.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    return {};
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail("a file that is not a socket is there; remove it or choose another path");
  }
  const Fd probe = TRY(new_socket());
  // SAFETY: the socket interface takes every address through sockaddr.
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED) {
    return fail("another process listens there; choose another path");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "remove the old one");
  }
  return {};
}

Result<Fd> listen_at(const std::string& path) {
  const sockaddr_un address = TRY(address_of(path));
  TRY_VOID(remove_stale(path, address));
  Fd socket = TRY(new_socket());
  ::fchmod(socket.get(), 0600);  // before bind: the socket in the file system never has another mode
  // SAFETY: as above.
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail("{}; choose a path in a folder that exists and may be written", std::generic_category().message(errno));
  }
  if (::listen(socket.get(), 16) != 0) {
    return fail_errno(errno, "listen");
  }
  return socket;
}

}  // namespace

Result<UnixListener> UnixListener::create(const std::string& path, std::string_view what) {
  auto socket = listen_at(path);
  if (!socket) {
    return context(socket.error(), fmt::format("{} '{}'", what, path));
  }
  UnixListener listener;
  listener.socket_ = std::move(*socket);
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0) {
    listener.path_ = path;
    listener.inode_ = info.st_ino;
  }
  return listener;
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : socket_(std::move(other.socket_)), path_(std::exchange(other.path_, {})), inode_(other.inode_) {}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(path_, other.path_);
  std::swap(inode_, other.inode_);
  return *this;
}

UnixListener::~UnixListener() {
  struct stat info{};
  if (!path_.empty() && ::lstat(path_.c_str(), &info) == 0 && info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

}  // namespace lodge
