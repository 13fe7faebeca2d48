#include "libvirt-driver/rpc/transport.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "libvirt-driver/rpc/io.h"

namespace lodge::rpc {

asio::awaitable<Result<void>> Transport::write_fds(std::span<const Fd> fds) {
  if (!fds.empty()) {
    co_return fail("descriptors cannot be passed over this connection; use a unix socket");
  }
  co_return Result<void>();
}

namespace {

class UnixTransport : public Transport {
 public:
  explicit UnixTransport(asio::local::stream_protocol::socket socket) : socket_(std::move(socket)) {
    boost::system::error_code ignored;
    socket_.native_non_blocking(true, ignored);
    ::fcntl(socket_.native_handle(), F_SETFD, FD_CLOEXEC);  // Asio's accept does not set it
  }

  Peer peer() const override {
    Peer peer;
    ucred credentials{};
    socklen_t size = sizeof credentials;
    // native_handle() of a const socket is not offered
    auto& socket = const_cast<asio::local::stream_protocol::socket&>(socket_);
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
      peer.pid = credentials.pid;
      peer.uid = credentials.uid;
      peer.gid = credentials.gid;
    }
    return peer;
  }

  asio::awaitable<Result<bool>> read(FrameReader& into) override {
    while (true) {
      const auto space = into.space();
      iovec part{space.data(), space.size()};
      alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> control{};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t got = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (got >= 0) {
        const auto kept = keep_fds(message, into);
        if (!kept) {
          co_return std::unexpected(kept.error());
        }
        into.filled(static_cast<size_t>(got));
        co_return got > 0;
      }
      if (errno != EAGAIN && errno != EINTR) {
        co_return fail_errno(errno, "read");
      }
      const auto [error] = co_await socket_.async_wait(asio::socket_base::wait_read, kAwait);
      if (error) {
        co_return fail_errno(error.value(), "wait to read");
      }
    }
  }

  asio::awaitable<Result<void>> write(std::span<const uint8_t> bytes) override {
    co_return co_await write_whole(socket_, bytes);
  }

  asio::awaitable<Result<void>> write_fds(std::span<const Fd> fds) override {
    for (const Fd& fd : fds) {
      while (!send_fd(fd)) {
        const auto ready = co_await wait_to_write(errno);
        if (!ready) {
          co_return ready;
        }
      }
    }
    co_return Result<void>();
  }

  void close() override {
    boost::system::error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_both, ignored);
    socket_.close(ignored);
  }

 private:
  static Result<void> keep_fds(msghdr& message, FrameReader& into) {
    Result<void> outcome;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
        continue;
      }
      const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof number);
        Fd fd(number);  // closed whatever happens
        if (outcome) {
          outcome = into.received(std::move(fd));
        }
      }
    }
    return outcome;
  }

  // False with errno set when it has to wait or failed.
  bool send_fd(const Fd& fd) {
    char zero = 0;
    iovec part{&zero, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd.get();
    std::memcpy(CMSG_DATA(header), &number, sizeof number);
    return ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
  }

  // After a send that failed: waits if it only has to.
  asio::awaitable<Result<void>> wait_to_write(int code) {
    if (code != EAGAIN && code != EINTR) {
      co_return fail_errno(code, "write");
    }
    const auto [error] = co_await socket_.async_wait(asio::socket_base::wait_write, kAwait);
    if (error) {
      co_return fail_errno(error.value(), "wait to write");
    }
    co_return Result<void>();
  }

  asio::local::stream_protocol::socket socket_;
};

class TcpTransport : public Transport {
 public:
  explicit TcpTransport(asio::ip::tcp::socket socket)
      : socket_(std::move(socket)), peer_(prepare_tcp(socket_, TransportKind::tcp)) {}

  Peer peer() const override { return peer_; }

  asio::awaitable<Result<bool>> read(FrameReader& into) override {
    const auto got = co_await read_some(socket_, into.space());
    if (!got) {
      co_return context(got.error(), peer_.address);
    }
    into.filled(*got);
    co_return *got > 0;
  }

  asio::awaitable<Result<void>> write(std::span<const uint8_t> bytes) override {
    co_return co_await write_whole(socket_, bytes);
  }

  void close() override {
    boost::system::error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_both, ignored);
    socket_.close(ignored);
  }

 private:
  asio::ip::tcp::socket socket_;
  Peer peer_;
};

constexpr int kIdleBeforeProbe = 60;  // s

std::string address_text(const asio::ip::tcp::endpoint& end) {
  return fmt::format("{}:{}", end.address().to_string(), end.port());
}

}  // namespace

Peer prepare_tcp(asio::ip::tcp::socket& socket, TransportKind kind) {
  boost::system::error_code ignored;
  socket.native_non_blocking(true, ignored);
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);  // a host that is gone sends no end
  const int idle = kIdleBeforeProbe;
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
  Peer peer;
  peer.transport = kind;
  if (const auto end = socket.remote_endpoint(ignored); !ignored) {
    peer.address = address_text(end);
  }
  if (const auto end = socket.local_endpoint(ignored); !ignored) {
    peer.local_address = address_text(end);
  }
  return peer;
}

std::unique_ptr<Transport> make_unix_transport(asio::local::stream_protocol::socket socket) {
  return std::make_unique<UnixTransport>(std::move(socket));
}

std::unique_ptr<Transport> make_tcp_transport(asio::ip::tcp::socket socket) {
  return std::make_unique<TcpTransport>(std::move(socket));
}

}  // namespace lodge::rpc
