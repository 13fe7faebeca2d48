#include "devices/net/passt.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/log.h"
#include "devices/net/frame.h"

namespace lodge {
namespace {

constexpr size_t kLength = 4;
constexpr size_t kInput = 4 * (kLength + kMaxFrame);

class StreamBackend final : public NetBackend {
 public:
  StreamBackend(Fd fd, pid_t child, std::string what)
      : fd_(std::move(fd)), child_(child), what_(std::move(what)), input_(kInput), rest_(kLength + kMaxFrame) {
    wire_.reserve(64);
  }
  ~StreamBackend() override {
    fd_.reset();
    if (child_ > 0) {
      ::kill(child_, SIGTERM);
      ::waitpid(child_, nullptr, 0);
    }
  }
  StreamBackend(const StreamBackend&) = delete;
  StreamBackend& operator=(const StreamBackend&) = delete;

  [[nodiscard]] int poll_fd() const override { return fd_.get(); }
  [[nodiscard]] Result<void> set_offloads(uint32_t /*tun_flags*/) override { return {}; }

  Io send(std::span<const iovec> frame) override {
    if (gone_) {
      return Io::gone;
    }
    if (!flush_rest()) {
      return gone_ ? Io::gone : Io::would_block;
    }
    const size_t total = iov_bytes(frame);
    if (total < kVnetHeader + kMinFrame || total > kVnetHeader + kMaxFrame) {
      return Io::done;  // not a frame
    }
    const uint32_t length = htonl(static_cast<uint32_t>(total - kVnetHeader));
    std::memcpy(length_.data(), &length, kLength);
    wire_.assign(1, iovec{length_.data(), kLength});
    size_t skip = kVnetHeader;
    for (const iovec& part : frame) {
      const size_t cut = std::min(skip, part.iov_len);
      skip -= cut;
      if (part.iov_len > cut) {
        wire_.push_back({static_cast<std::byte*>(part.iov_base) + cut, part.iov_len - cut});
      }
    }
    msghdr message{};
    message.msg_iov = wire_.data();
    message.msg_iovlen = wire_.size();
    const size_t whole = kLength + total - kVnetHeader;
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        return Io::would_block;
      }
      lose();
      return Io::gone;
    }
    if (static_cast<size_t>(n) < whole) {  // the stream has begun this frame: keep the rest, it goes first next time
      rest_begin_ = 0;
      rest_end_ = gather(wire_, static_cast<size_t>(n), std::span(rest_).first(whole - static_cast<size_t>(n)));
    }
    return Io::done;
  }

  Io receive(std::span<const iovec> into, size_t& bytes) override {
    for (;;) {
      if (gone_) {
        return Io::gone;
      }
      if (take_frame(into, bytes)) {
        return Io::done;
      }
      if (!fill()) {
        return gone_ ? Io::gone : Io::would_block;
      }
    }
  }

 private:
  // Sends what is left of the last frame; false when some remains.
  bool flush_rest() {
    while (rest_begin_ < rest_end_) {
      const ssize_t n = ::send(fd_.get(), rest_.data() + rest_begin_, rest_end_ - rest_begin_, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
          lose();
        }
        return false;
      }
      rest_begin_ += static_cast<size_t>(n);
    }
    return true;
  }

  // Reads more into the input buffer; false when there is nothing now.
  bool fill() {
    if (begin_ == end_) {
      begin_ = end_ = 0;
    } else if (input_.size() - end_ < kLength + kMaxFrame) {
      std::memmove(input_.data(), input_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const ssize_t n = ::recv(fd_.get(), input_.data() + end_, input_.size() - end_, MSG_DONTWAIT);
    if (n > 0) {
      end_ += static_cast<size_t>(n);
      return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      lose();
    }
    return false;
  }

  bool take_frame(std::span<const iovec> into, size_t& bytes) {
    if (end_ - begin_ < kLength) {
      return false;
    }
    uint32_t wire = 0;
    std::memcpy(&wire, input_.data() + begin_, kLength);
    const size_t length = ntohl(wire);
    if (length > kMaxFrame) {
      log_error("net", "{}: a frame of {} bytes announced; the connection is closed", what_, length);
      lose();
      return false;
    }
    if (end_ - begin_ < kLength + length) {
      return false;
    }
    std::array<std::byte, kVnetHeader> header{};
    header[10] = std::byte{1};  // num_buffers
    scatter(into, 0, header);
    scatter(into, kVnetHeader, std::span(input_).subspan(begin_ + kLength, length));
    begin_ += kLength + length;
    bytes = kVnetHeader + length;
    return true;
  }

  void lose() {
    if (!gone_) {
      gone_ = true;
      log_warning("net", "{}: the other side closed the connection; the NIC has no network any more", what_);
    }
  }

  Fd fd_;
  pid_t child_;
  std::string what_;
  bool gone_ = false;
  std::vector<std::byte> input_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::vector<std::byte> rest_;
  size_t rest_begin_ = 0;
  size_t rest_end_ = 0;
  std::array<std::byte, kLength> length_{};
  std::vector<iovec> wire_;
};

// Starts the program with one end of a socket pair. Between fork and exec only async-signal-safe calls.
Result<pid_t> start_child(const PasstOptions& options, int socket) {
  const std::string number = std::to_string(socket);
  std::vector<std::string> words = {options.program, "--foreground", "--quiet", "--one-off", "--fd", number};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "start {}", options.program);
  }
  Fd from_child(report[0]);
  Fd to_parent(report[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    return fail_errno(errno, "start {}", options.program);
  }
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) {
      ::_exit(127);
    }
    ::fcntl(socket, F_SETFD, 0);
    ::execvp(argv[0], argv.data());
    const int code = errno;
    [[maybe_unused]] const ssize_t n = ::write(to_parent.get(), &code, sizeof code);
    ::_exit(127);
  }
  to_parent.reset();
  int code = 0;
  ssize_t n = 0;
  do {
    n = ::read(from_child.get(), &code, sizeof code);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof code) {
    ::waitpid(child, nullptr, 0);
    return fail("NIC '{}': cannot start {}: {}; install the package passt", options.id, options.program,
                std::generic_category().message(code));
  }
  return child;
}

}  // namespace

Result<NetPort> open_passt(PasstOptions options) {
  const std::string what = fmt::format("user network of NIC '{}'", options.id);
  pid_t child = -1;
  if (!options.fd.valid()) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
      return fail_errno(errno, "create a socket for the {}", what);
    }
    options.fd = Fd(pair[0]);
    const Fd theirs(pair[1]);
    child = TRY(start_child(options, theirs.get()));
  }
  const int size = 1 << 20;
  ::setsockopt(options.fd.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  ::setsockopt(options.fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  NetPort port;
  port.capabilities.mtu = 65520;  // what passt announces too: large frames instead of offloads
  port.queues.push_back(std::make_unique<StreamBackend>(std::move(options.fd), child, what));
  return port;
}

}  // namespace lodge
