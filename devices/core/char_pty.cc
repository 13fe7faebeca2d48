// The pseudo-terminal backend. A master whose other side nobody has open reports a hang-up for ever, so that state is asked
// for by a slow timer instead of a watch.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>

#include <array>
#include <chrono>

#include "devices/core/char_descriptor.h"

namespace lodge {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(100);

class PtyChar final : public DescriptorChar {
 public:
  PtyChar(Fd master, std::string path) : master_(std::move(master)), path_(std::move(path)) {}
  ~PtyChar() override { detach(); }
  [[nodiscard]] std::string path() const override { return path_; }

 private:
  void on_attached() override { look(); }
  void on_detached() override { timer_.reset(); }
  void on_input_end(int /*error*/) override { disconnect(); }
  void on_disconnected() override { look_later(); }
  void look() {
    pollfd state{.fd = master_.get(), .events = 0, .revents = 0};
    ::poll(&state, 1, 0);
    if ((state.revents & POLLHUP) != 0) {
      look_later();
    } else if (!is_open()) {
      connect(master_.get(), master_.get());
    }
  }
  void look_later() {
    if (loop() != nullptr) {
      timer_ = loop()->after(kLookEvery, [this] { look(); });
    }
  }

  Fd master_;
  std::string path_;
  EventLoop::Timer timer_;
};

}  // namespace

Result<std::unique_ptr<CharBackend>> open_pty_char() {
  Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::array<char, 128> name{};
  if (!master.valid() || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
      ::ptsname_r(master.get(), name.data(), name.size()) != 0) {
    return fail_errno(errno, "create a pseudo-terminal");
  }
  // Raw, so that the guest's bytes pass unchanged; opening and closing the slave once also makes the hang-up state visible.
  const Fd slave = TRY_CONTEXT(open_file(name.data(), O_RDWR | O_NOCTTY), "open the pseudo-terminal just created");
  termios raw{};
  if (::tcgetattr(slave.get(), &raw) == 0) {
    ::cfmakeraw(&raw);
    ::tcsetattr(slave.get(), TCSANOW, &raw);
  }
  set_nonblocking(master.get());
  return std::make_unique<PtyChar>(std::move(master), std::string(name.data()));
}

}  // namespace lodge
