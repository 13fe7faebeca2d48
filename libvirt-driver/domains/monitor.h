// Monitor: the daemon's end of one lodge-vmm's control socket (vmm/control/protocol.h).
//
// execute() waits, so it is for workers; many may be under way, they are answered by their ids. Events and the end of the
// connection are told on the network thread, which must not wait.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/domains/json.h"

namespace boost::asio {
class io_context;
}

namespace lodge {

class Monitor {
 public:
  struct Hooks {
    std::function<void(const std::string& name, const Json& data)> on_event;
    std::function<void()> on_closed;  // once
  };
  // How long a monitor may take to answer; it answers in milliseconds, unless it is stopped or dead.
  static constexpr std::chrono::seconds kPatience{20};

  // Takes a connected socket.
  static std::shared_ptr<Monitor> create(boost::asio::io_context& network, Fd socket, std::string guest, Hooks hooks);
  virtual ~Monitor() = default;

  // Waits for the greeting, which comes when the machine is built. False: the connection ended first.
  [[nodiscard]] virtual bool wait_for_greeting(std::chrono::milliseconds patience) = 0;
  // The value of "return". Errors: OPERATION_FAILED with what the monitor says, OPERATION_TIMEOUT, or that it is gone.
  [[nodiscard]] virtual Answer<Json> execute(const std::string& verb, const Json& arguments, std::vector<Fd> fds,
                                             std::chrono::milliseconds patience) = 0;
  [[nodiscard]] Answer<Json> execute(const std::string& verb, const Json& arguments = Json::object()) {
    return execute(verb, arguments, {}, kPatience);
  }
  // The same without waiting.
  [[nodiscard]] virtual std::future<Answer<Json>> begin(const std::string& verb, const Json& arguments,
                                                        std::vector<Fd> fds) = 0;
  // A whole request of a client's, as it stands (virsh qemu-monitor-command); the answer's text.
  [[nodiscard]] virtual Answer<std::string> raw(const std::string& request) = 0;
  virtual void close() = 0;
};

// Connects to a listening unix socket, at once or not at all.
[[nodiscard]] Result<Fd> connect_unix(const std::string& path);

}  // namespace lodge
