// ControlServer: a control socket. Takes clients, has their requests run, tells them events. On its loop; it never blocks,
// and no client can make it wait or grow without bound.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/io/event_loop.h"
#include "vmm/control/commands.h"
#include "vmm/control/connection.h"
#include "vmm/control/unix_listener.h"

namespace lodge {

class ControlServer {
 public:
  static constexpr size_t kMaxClients = 64;
  // Where to listen: a path (a stale socket there is replaced; removed again at the end), or a listening socket.
  struct Listen {
    std::string path;
    Fd fd;
  };
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> create(EventLoop& control, RunRequest run, Listen listen);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  using EventDetails = std::vector<std::pair<std::string, std::string>>;
  void broadcast(std::string_view event, const EventDetails& details);
  [[nodiscard]] size_t clients() const { return clients_.size(); }

 private:
  ControlServer(EventLoop& control, RunRequest run) : loop_(control), run_(std::move(run)) {}
  void watch_listener();
  void accept_client();
  void run(uint64_t client, const Request& request, std::deque<Fd>& received);
  void closed(uint64_t client, std::string_view why);

  EventLoop& loop_;
  RunRequest run_;
  Fd listener_;
  UnixListener at_path_;  // ours to remove; none
  DescriptorTable descriptors_;
  std::map<uint64_t, std::unique_ptr<ControlConnection>> clients_;
  uint64_t next_client_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work and late answers check it
  EventLoop::Watch watch_;
  EventLoop::Timer retry_;
};

}  // namespace lodge
