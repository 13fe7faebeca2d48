// The socket backend: a listening unix socket that serves one client at a time, or a client that may connect again.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "devices/core/char_descriptor.h"

namespace lodge {
namespace {

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("socket path '{}' is empty or longer than {} bytes", path, sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<Fd> new_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return fail_errno(errno, "create a unix socket");
  }
  return fd;
}

int connect_to(int fd, const sockaddr_un& address) {
  // SAFETY: sockaddr_un is the address type of AF_UNIX.
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// A socket file that nobody listens on any more is removed; one in use or of another kind is an error.
Result<Fd> listen_on(const std::string& path) {
  const sockaddr_un address = TRY(unix_address(path));
  const Fd probe = TRY(new_socket());
  if (connect_to(probe.get(), address) == 0 || errno == EAGAIN) {
    return fail("socket '{}' is in use by another process; choose another path or stop that process", path);
  }
  if (errno == ECONNREFUSED) {
    ::unlink(path.c_str());
  }
  Fd fd = TRY(new_socket());
  // SAFETY: as connect_to.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd.get(), 1) != 0) {
    return fail_errno(errno, "listen on socket '{}'", path);
  }
  return fd;
}

class SocketServerChar final : public DescriptorChar {
 public:
  SocketServerChar(Fd listener, std::string path, bool remove)
      : listener_(std::move(listener)), path_(std::move(path)), remove_(remove) {
    set_nonblocking(listener_.get());
  }
  ~SocketServerChar() override {
    detach();
    if (remove_) {
      ::unlink(path_.c_str());
    }
  }
  [[nodiscard]] std::string path() const override { return path_; }

 private:
  void on_attached() override {
    if (!client_.valid()) {
      wait_for_client();
    }
  }
  void on_detached() override { accept_.reset(); }
  void on_input_end(int /*error*/) override { disconnect(); }
  void on_disconnected() override {
    client_.reset();
    if (loop() != nullptr) {
      wait_for_client();
    }
  }
  void wait_for_client() {
    accept_ = loop()->on_readable(listener_.get(), [this] {
      Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (client.valid()) {
        accept_.reset();  // the next one waits in the backlog
        client_ = std::move(client);
        connect(client_.get(), client_.get());
      }
    });
  }

  Fd listener_;
  Fd client_;
  std::string path_;
  bool remove_;
  EventLoop::Watch accept_;
};

class SocketClientChar final : public DescriptorChar {
 public:
  SocketClientChar(Fd fd, std::string path, const sockaddr_un& address, int reconnect_ms)
      : fd_(std::move(fd)), path_(std::move(path)), address_(address), reconnect_ms_(reconnect_ms) {
    if (fd_.valid()) {
      connect(fd_.get(), fd_.get());
    }
  }
  ~SocketClientChar() override { detach(); }
  [[nodiscard]] std::string path() const override { return path_; }

 private:
  void on_attached() override {
    if (!fd_.valid()) {
      try_later();
    }
  }
  void on_detached() override { timer_.reset(); }
  void on_input_end(int /*error*/) override { disconnect(); }
  void on_disconnected() override {
    fd_.reset();
    try_later();
  }
  void try_later() {
    if (loop() != nullptr && reconnect_ms_ > 0) {
      timer_ = loop()->after(std::chrono::milliseconds(reconnect_ms_), [this] { try_now(); });
    }
  }
  void try_now() {
    auto fd = new_socket();
    if (fd && connect_to(fd->get(), address_) == 0) {
      fd_ = std::move(*fd);
      connect(fd_.get(), fd_.get());
    } else {
      try_later();
    }
  }

  Fd fd_;
  std::string path_;
  sockaddr_un address_;
  int reconnect_ms_;
  EventLoop::Timer timer_;
};

}  // namespace

Result<std::unique_ptr<CharBackend>> open_socket_char(SocketCharOptions options) {
  if (options.server) {
    const bool ours = !options.fd.valid();
    Fd listener = ours ? TRY(listen_on(options.path)) : std::move(options.fd);
    return std::make_unique<SocketServerChar>(std::move(listener), std::move(options.path), ours);
  }
  if (options.fd.valid()) {
    return make_stream_char(std::move(options.fd));
  }
  const sockaddr_un address = TRY(unix_address(options.path));
  Fd fd = TRY(new_socket());
  if (connect_to(fd.get(), address) != 0) {
    if (options.reconnect_ms <= 0) {
      return fail_errno(errno, "connect to socket '{}'", options.path);
    }
    fd.reset();
  }
  return std::make_unique<SocketClientChar>(std::move(fd), std::move(options.path), address, options.reconnect_ms);
}

}  // namespace lodge
