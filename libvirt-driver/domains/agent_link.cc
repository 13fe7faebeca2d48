#include "libvirt-driver/domains/agent_link.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <array>

#include "libvirt-driver/domains/monitor.h"

namespace lodge {
namespace {

constexpr int kDefaultSeconds = 5;
constexpr std::chrono::seconds kTurnPatience{30};  // for the commands before this one
constexpr char kFlush = '\xFF';                    // makes the agent forget a half-read line, and announces its echo
constexpr size_t kMaxEcho = 4096;                  // longer lines are none

std::chrono::steady_clock::time_point after(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

std::unexpected<CallError> unresponsive(std::string_view why) { return call_error(VIR_ERR_AGENT_UNRESPONSIVE, "{}", why); }

std::string line_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// The value of "return" in an answer.
Answer<Json> result_of(const std::string& text, const std::string& name) {
  Json answer = parse_json(text);
  if (!answer.is_object()) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "the guest agent's answer to '{}' is no JSON", name);
  }
  if (answer.contains("error")) {
    const std::string why = text_in(answer["error"], "desc");
    return call_error(VIR_ERR_INTERNAL_ERROR, "unable to execute QEMU agent command '{}': {}", name,
                      why.empty() ? "no reason given" : why);
  }
  if (!answer.contains("return")) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "the guest agent's answer to '{}' has neither 'return' nor 'error'", name);
  }
  return std::move(answer["return"]);
}

}  // namespace

Answer<Json> AgentLink::command(const std::string& path, const Json& command, int timeout) {
  const int seconds = timeout == VIR_DOMAIN_QEMU_AGENT_COMMAND_DEFAULT ? kDefaultSeconds : std::max(timeout, 0);
  const auto turn = TRY(begin(path, seconds > 0 ? std::chrono::seconds(seconds) : kSyncPatience));
  TRY_VOID(send(line_of(command), after(kSyncPatience)));
  const std::string line = TRY(read_line(
      timeout == VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK ? Time::max() : after(std::chrono::seconds(std::max(seconds, 1)))));
  return result_of(line, text_in(command, "execute"));
}

Answer<void> AgentLink::farewell(const std::string& path, const Json& command, std::chrono::milliseconds patience) {
  const auto turn = TRY(begin(path, kSyncPatience));
  TRY_VOID(send(line_of(command), after(kSyncPatience)));
  if (const auto line = read_line(after(patience))) {
    TRY(result_of(*line, text_in(command, "execute")));
  }
  return {};
}

void AgentLink::guest_left() {
  const std::scoped_lock lock(left_mutex_);
  if (left_) {
    left_->signal();
  }
}

Answer<AgentLink::Turn> AgentLink::begin(const std::string& path, std::chrono::seconds patience) {
  Turn turn = TRY(take_turn());
  TRY_VOID(connect(path));
  (void)left_->drain();  // that was an agent before this one
  TRY_VOID(sync(after(patience)));
  return turn;
}

// A guest whose agent hangs must not have all of the daemon's workers waiting.
Answer<AgentLink::Turn> AgentLink::take_turn() {
  const auto busy = [] {
    return call_error(VIR_ERR_OPERATION_TIMEOUT, "cannot acquire state change lock: the guest agent is busy");
  };
  Turn turn(turn_, std::try_to_lock);
  if (turn.owns_lock()) {
    return turn;
  }
  const bool too_many = waiting_.fetch_add(1) >= kMaxWaiting;
  const bool mine = !too_many && turn.try_lock_for(kTurnPatience);
  waiting_.fetch_sub(1);
  if (!mine) {
    return busy();
  }
  return turn;
}

Answer<void> AgentLink::connect(const std::string& path) {
  if (const std::scoped_lock lock(left_mutex_); !left_) {
    left_ = TRY(EventFd::create());
  }
  char byte = 0;
  if (socket_.valid()) {
    const ssize_t got = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0 || (got < 0 && errno == EAGAIN)) {
      return {};
    }
    socket_.reset();
  }
  text_.clear();
  plain_ = false;
  auto socket = connect_unix(path);
  if (!socket) {
    return unresponsive(fmt::format("QEMU guest agent is not connected: {}", socket.error().message));
  }
  socket_ = std::move(*socket);
  return {};
}

Answer<void> AgentLink::send_sync(Time until) {
  if (::getrandom(&token_, sizeof token_, 0) != sizeof token_) {
    ++token_;
  }
  const Json sync{{"execute", plain_ ? "guest-sync" : "guest-sync-delimited"}, {"arguments", {{"id", token_}}}};
  return send(kFlush + line_of(sync), until);
}

Answer<bool> AgentLink::is_echo(const std::string& line, bool announced, Time until) {
  const Json answer = parse_json(line);
  if (!answer.is_object()) {
    return false;
  }
  if (!plain_ && text_in(member_in(answer, "error"), "class") == "CommandNotFound") {
    plain_ = true;
    TRY_VOID(send_sync(until));
    return false;
  }
  return (announced || plain_) && member_in(answer, "return") == Json(token_);
}

Answer<void> AgentLink::sync(Time until) {
  text_.clear();
  TRY_VOID(send_sync(until));
  std::string line;  // an echo, perhaps
  bool announced = false;
  bool too_long = false;
  bool heard = false;
  while (true) {
    if (const auto more = receive(until); !more) {
      return heard && more.error().code == VIR_ERR_AGENT_UNRESPONSIVE && socket_.valid()
                 ? unresponsive(more.error().detail + ": it sends other things than answers")
                 : std::unexpected(more.error());
    }
    heard = true;
    for (size_t i = 0; i < text_.size(); ++i) {
      const char c = text_[i];
      if (c == kFlush) {
        line.clear();
        announced = true;
        too_long = false;
      } else if (c != '\n') {
        too_long = too_long || line.size() >= kMaxEcho;
        if (!too_long) {
          line.push_back(c);
        }
      } else {
        if (!too_long && TRY(is_echo(line, announced, until))) {
          text_.erase(0, i + 1);
          return {};
        }
        line.clear();
        announced = too_long = false;
      }
    }
    text_.clear();
  }
}

Answer<void> AgentLink::send(std::string_view text, Time until) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      text.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      TRY_VOID(wait_for(POLLOUT, until));
    } else if (errno != EINTR) {
      socket_.reset();
      return unresponsive("the guest agent's channel was closed");
    }
  }
  return {};
}

Answer<std::string> AgentLink::read_line(Time until) {
  size_t looked_at = 0;
  while (true) {
    const size_t end = text_.find('\n', looked_at);
    if (end != std::string::npos) {
      std::string line = text_.substr(0, end);
      text_.erase(0, end + 1);
      looked_at = 0;
      if (!line.empty()) {
        return line;
      }
      continue;
    }
    looked_at = text_.size();
    if (text_.size() > kMaxAnswer) {
      text_ = {};
      return call_error(VIR_ERR_INTERNAL_ERROR, "the guest agent sends a line of more than {} bytes", kMaxAnswer);
    }
    TRY_VOID(receive(until));
  }
}

Answer<void> AgentLink::receive(Time until) {
  TRY_VOID(wait_for(POLLIN, until));
  std::array<char, 65536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv fills what is used
  // The lock is the turn at the agent; whoever waits for it does so with patience of its own, and this does not wait.
  // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection)
  const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got > 0) {
    text_.append(buffer.data(), static_cast<size_t>(got));
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    socket_.reset();
    return unresponsive("the guest agent's channel was closed");
  }
  return {};
}

Answer<void> AgentLink::wait_for(short events, Time until) {
  std::array<pollfd, 2> watched{pollfd{socket_.get(), events, 0}, pollfd{left_->get(), POLLIN, 0}};
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    if (until != Time::max() && left <= 0) {
      return unresponsive("Guest agent is not responding: the guest agent does not answer");
    }
    const int patience = until == Time::max() ? -1 : static_cast<int>(std::min<int64_t>(left, 60'000));
    if (::poll(watched.data(), watched.size(), patience) < 0 && errno != EINTR) {
      return std::unexpected(CallError(fail_errno(errno, "wait for the guest agent").error()));
    }
    if (watched[1].revents != 0) {
      (void)left_->drain();
      return unresponsive("QEMU guest agent is not connected: the guest has closed its channel");
    }
    if (watched[0].revents != 0) {
      return {};
    }
  }
}

}  // namespace lodge
