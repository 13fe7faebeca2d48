// ControlServer: the control socket. Takes clients, runs their requests, tells them events. On the control loop; it never
// blocks, and no client can make it wait or grow without bound.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/io/event_loop.h"
#include "vmm/control/commands.h"
#include "vmm/control/connection.h"

namespace lodge {

struct MachineEvent;

class ControlServer {
 public:
  static constexpr size_t kMaxClients = 64;
  // Where to listen: a path (a stale socket there is replaced; removed again at the end), or a listening socket.
  struct Listen {
    std::string path;
    Fd fd;
  };
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> create(EventLoop& control, ControlTarget& target,
                                                                     Listen listen);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  void broadcast(const MachineEvent& event);
  [[nodiscard]] size_t clients() const { return clients_.size(); }

 private:
  ControlServer(EventLoop& control, ControlTarget& target) : loop_(control), target_(target) {}
  [[nodiscard]] Result<void> listen_at(const std::string& path);
  void watch_listener();
  void accept_client();
  void run(uint64_t client, const Request& request, std::deque<Fd>& received);
  void closed(uint64_t client, std::string_view why);

  EventLoop& loop_;
  ControlTarget& target_;
  Fd listener_;
  std::string path_;    // ours to remove
  uint64_t inode_ = 0;  // of the socket at path_
  DescriptorTable descriptors_;
  std::map<uint64_t, std::unique_ptr<ControlConnection>> clients_;
  uint64_t next_client_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work and late answers check it
  EventLoop::Watch watch_;
  EventLoop::Timer retry_;
};

}  // namespace lodge
