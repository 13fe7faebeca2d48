// AgentLink: the connection to one guest's agent, kept for one run of the guest. The guest is hostile: whatever it sends, a
// command ends in time with an answer or an error, and the next one starts afresh.
//
// One command at a time. Each begins with guest-sync-delimited: all that comes before the agent's echo, which a byte of its
// own announces, is dropped: late answers, half lines, rubbish. Agents too old for it get guest-sync. Any worker.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "base/fd.h"
#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/domains/json.h"

namespace lodge {

class AgentLink {
 public:
  static constexpr size_t kMaxAnswer = size_t{16} << 20;   // guest-file-read and the like
  static constexpr std::chrono::seconds kSyncPatience{5};  // an agent that is there answers at once
  static constexpr int kMaxWaiting = 3;                    // commands that wait for the one under way; more are refused

  // Sends a command over the socket at `path`, and gives the value of "return". `timeout`: s, or
  // VIR_DOMAIN_QEMU_AGENT_COMMAND_* (block, default: 5 s, nowait). Errors: AGENT_UNRESPONSIVE, OPERATION_TIMEOUT when too
  // many wait, INTERNAL_ERROR with what the agent says.
  [[nodiscard]] Answer<Json> command(const std::string& path, const Json& command, int timeout);
  // Sends a command that the agent answers only when it fails; such an answer is waited for so long.
  [[nodiscard]] Answer<void> farewell(const std::string& path, const Json& command, std::chrono::milliseconds patience);
  // The guest closed its end, or begins anew: whoever waits for an answer gets an error. Never waits.
  void guest_left();

 private:
  using Time = std::chrono::steady_clock::time_point;
  using Turn = std::unique_lock<std::timed_mutex>;
  // Whose turn it is, at an agent that has just answered.
  [[nodiscard]] Answer<Turn> begin(const std::string& path, std::chrono::seconds patience);
  [[nodiscard]] Answer<Turn> take_turn();
  [[nodiscard]] Answer<void> connect(const std::string& path);
  [[nodiscard]] Answer<void> sync(Time until);
  [[nodiscard]] Answer<void> send_sync(Time until);
  // Whether a line is the echo; an agent that does not know the command gets the older one.
  [[nodiscard]] Answer<bool> is_echo(const std::string& line, bool announced, Time until);
  [[nodiscard]] Answer<void> send(std::string_view text, Time until);
  // The next line that is not empty.
  [[nodiscard]] Answer<std::string> read_line(Time until);
  // More of what the guest sends, into text_.
  [[nodiscard]] Answer<void> receive(Time until);
  [[nodiscard]] Answer<void> wait_for(short events, Time until);

  std::timed_mutex turn_;
  std::atomic<int> waiting_{0};
  std::mutex left_mutex_;
  std::optional<EventFd> left_;  // signalled by guest_left(); made with the first connection
  // Of whoever has the turn.
  Fd socket_;
  std::string text_;    // received, not yet looked at
  bool plain_ = false;  // the agent knows guest-sync only
  uint32_t token_ = 0;  // the echo that is waited for
};

}  // namespace lodge
