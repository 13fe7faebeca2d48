// VncServer: the clients of one guest's screen: who comes in, what they see, what they type. On the loop; never blocks, and
// a client that waits, floods or sends rubbish is dropped alone (each has a process: client_setup.h).
//
// The monitor is asked for a picture while a client waits for one, at most kFastest; less often while nothing changes, until
// somebody types. With no client nothing runs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "vmm/vnc/client_process.h"
#include "vmm/vnc/monitor_link.h"

namespace lodge::vnc {

enum class Share : uint8_t { allow_exclusive, force_shared, ignore };

class VncServer {
 public:
  static constexpr std::chrono::milliseconds kFastest{33};
  static constexpr std::chrono::milliseconds kSlowest{500};
  static constexpr std::chrono::seconds kHandshake{45};  // people type their password in it
  struct Options {
    std::string guest;
    Share share = Share::allow_exclusive;
    bool password_required = false;
    bool seccomp = true;
    std::shared_ptr<TlsCredentials> tls;  // clients come in over TLS only; none: in clear
  };
  struct Hooks {
    // "VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED", with what there is to say.
    std::function<void(std::string_view name, uint64_t client, std::string_view address)> event;
    std::function<void(std::string why)> ended;  // the monitor is gone; empty: as it should
  };
  // `display`: the viewer's end of a display channel.
  [[nodiscard]] static Result<std::unique_ptr<VncServer>> create(EventLoop& loop, Options options, Fd display, Hooks hooks);
  ~VncServer();
  VncServer(const VncServer&) = delete;
  VncServer& operator=(const VncServer&) = delete;

  // A listening socket, from which clients are taken once the monitor has said hello.
  void listen(Fd listener);
  // `skip_auth`: without a password and without TLS: whoever passes the socket vouches for the client, and for the way.
  // Error: it is no stream socket; there are too many.
  [[nodiscard]] Result<void> add_client(Fd socket, bool skip_auth);
  // `password`: nothing: none is set; "": nobody comes in. `expires`: seconds since the epoch, 0: never. Clients in the
  // middle of their handshake are dropped.
  void set_password(std::optional<std::string> password, int64_t expires);
  struct ClientInfo {
    uint64_t number = 0;
    std::string address;
    bool entered = false;
    bool shared = false;
  };
  [[nodiscard]] std::vector<ClientInfo> clients() const;

 private:
  struct Listener {
    Fd fd;
    EventLoop::Watch watch;
  };
  struct Client {
    std::string address;
    bool skip_auth = false;
    std::unique_ptr<ClientProcess> process;
    EventLoop::Timer handshake;
  };
  VncServer(EventLoop& loop, Options options, SharedPicture picture, Fd display, Hooks hooks);
  void ready();
  void watch(Listener& listener);
  void accept_client(Listener& listener);
  [[nodiscard]] bool make_room();
  [[nodiscard]] Access access(bool skip_auth) const;
  void entered(uint64_t number);
  void drop(uint64_t number, std::string_view why);
  void gone(uint64_t number, std::string_view why);
  void take_frame(const display::Frame& frame);
  void input(std::span<const std::byte> packet);
  void hurry();
  void pace();

  EventLoop& loop_;
  Options options_;
  Hooks hooks_;
  SharedPicture picture_;
  MonitorLink monitor_;
  std::optional<std::string> password_;
  int64_t expires_ = 0;
  bool ready_ = false;
  bool absolute_ = false;
  std::vector<std::unique_ptr<Listener>> listeners_;
  EventLoop::Timer accept_again_;
  display::RateLimit accepts_{50};
  std::map<uint64_t, Client> clients_;
  uint64_t next_ = 1;
  GuestWarnings talk_;  // of clients that come and go

  std::chrono::nanoseconds interval_ = kFastest;
  EventLoop::Clock::time_point asked_at_;
  EventLoop::Timer ask_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work checks it
};

}  // namespace lodge::vnc
