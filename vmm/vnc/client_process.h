// ClientProcess: the server's hold on the processes that serve one client (client_setup.h): starts them, checks what they
// say, ends them. On the loop; never blocks.
#pragma once

#include <sys/types.h>

#include <bitset>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/io/event_loop.h"
#include "vmm/display/rate_limit.h"
#include "vmm/vnc/client_setup.h"
#include "vmm/vnc/link.h"

namespace lodge::vnc {

// A process of ours, which ends with this.
class ChildProcess {
 public:
  ChildProcess() = default;
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ChildProcess& operator=(ChildProcess&& other) noexcept {
    ChildProcess old(std::move(*this));
    pid_ = std::exchange(other.pid_, -1);
    return *this;
  }
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Returns in both processes.
  [[nodiscard]] static Result<ChildProcess> fork();
  [[nodiscard]] bool is_here() const { return pid_ == 0; }

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

class ClientProcess {
 public:
  struct Hooks {
    std::function<void()> want;                                    // wants() has changed
    std::function<void()> entered;                                 // it has come through the handshake
    std::function<void(std::span<const std::byte> packet)> input;  // Key, Move, Position or Size
    std::function<void(std::string why)> gone;                     // destroy it soon, not inside
  };
  // `setup.link` is filled in here. Error: no process.
  [[nodiscard]] static Result<std::unique_ptr<ClientProcess>> start(EventLoop& loop, ClientSetup setup, Hooks hooks);
  // Ends the process; lets up what it held.
  ~ClientProcess();
  ClientProcess(const ClientProcess&) = delete;
  ClientProcess& operator=(const ClientProcess&) = delete;

  [[nodiscard]] bool wants() const { return want_.has_value(); }
  // Tells it, if it wants to know. `serial`: of the picture, after the monitor was asked (or not).
  void offer(uint32_t serial, bool asked);
  void set_absolute(bool absolute);
  [[nodiscard]] bool entered() const { return entered_; }
  [[nodiscard]] bool shared() const { return shared_; }

 private:
  ClientProcess(EventLoop& loop, Fd link, ChildProcess process, ChildProcess tls, Hooks hooks);
  [[nodiscard]] static Result<ChildProcess> start_tls(ClientSetup& setup);
  void readable();
  [[nodiscard]] Result<bool> take_packet();  // false: none waits
  [[nodiscard]] Result<void> take(const FromClient& message, std::span<const std::byte> packet);
  void end(std::string why);

  EventLoop& loop_;
  Fd link_;
  ChildProcess process_;
  ChildProcess tls_;  // of a client that comes in over TLS
  Hooks hooks_;
  std::optional<Want> want_;
  bool entered_ = false;
  bool shared_ = false;
  bool ended_ = false;
  std::bitset<display::kMaxKey + 1> held_;
  uint32_t buttons_ = 0;
  display::RateLimit inputs_{kInputsPerSecond * 2};  // the process itself keeps to half of it
  EventLoop::Watch input_;
};

}  // namespace lodge::vnc
