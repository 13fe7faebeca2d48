#include "libvirt-driver/domains/agent.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

namespace lodge {
namespace {

constexpr int kDefaultSeconds = 5;
constexpr int kSyncSeconds = 5;                    // an agent that is there answers this at once
constexpr size_t kMaxAnswer = size_t{16} << 20;    // guest-file-read and the like
constexpr unsigned kMaxDepth = 64;                 // of what the guest sends: lists in lists
constexpr std::chrono::seconds kTurnPatience{30};  // for the conversations before this one
constexpr char kResync = '\xFF';                   // makes the agent forget a half-read line

const DomainChannel* agent_channel(const DomainView& view) {
  if (!view.active()) {
    return nullptr;
  }
  const auto& channels = view.live->devices.channels;
  const auto it = std::ranges::find_if(channels, [](const DomainChannel& channel) {
    return channel.name == kAgentChannel && channel.source.type == CharType::unix_socket;
  });
  return it == channels.end() ? nullptr : &*it;
}

// One conversation. There is one at a time.
class AgentLine {
 public:
  AgentLine(Fd fd, std::unique_lock<std::timed_mutex> turn) : turn_(std::move(turn)), fd_(std::move(fd)) {
    // An agent that does not read must not hold us up for ever.
    const timeval patience{.tv_sec = kSyncSeconds, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }

  Result<void> send(const std::string& text) {
    std::string_view rest = text;
    while (!rest.empty()) {
      const ssize_t sent = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        return fail_errno(errno, "write to the guest agent");
      }
      rest.remove_prefix(static_cast<size_t>(sent));
    }
    return {};
  }

  // The next line, or an error when none comes until then; negative: for ever.
  Result<std::string> read(std::chrono::steady_clock::time_point until, bool for_ever) {
    while (true) {
      if (const size_t end = text_.find('\n'); end != std::string::npos) {
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      if (text_.size() > kMaxAnswer) {
        return fail("the guest agent sends a line of more than {} bytes", kMaxAnswer);
      }
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
      pollfd watched{fd_.get(), POLLIN, 0};
      const int ready = ::poll(&watched, 1, for_ever ? -1 : static_cast<int>(std::max<int64_t>(0, left)));
      if (ready < 0 && errno == EINTR) {
        continue;
      }
      if (ready <= 0) {
        return fail("Guest agent is not responding: the guest agent does not answer");
      }
      char buffer[65536];
      // The lock is the turn at the agent; whoever waits for it does so with patience of its own, and poll() has seen data.
      // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection)
      const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got <= 0) {
        return fail("the guest agent's channel was closed");
      }
      text_.append(buffer, static_cast<size_t>(got));
    }
  }

 private:
  std::unique_lock<std::timed_mutex> turn_;
  Fd fd_;
  std::string text_;
};

std::unexpected<CallError> unresponsive(const std::string& why) { return call_error(VIR_ERR_AGENT_UNRESPONSIVE, "{}", why); }

std::string line_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// Opens the channel and waits for the agent's echo, so that nothing of an older conversation is taken for an answer.
Answer<AgentLine> converse(const DomainView& view, std::chrono::seconds patience) {
  const DomainChannel* channel = agent_channel(view);
  if (channel == nullptr) {
    if (!view.active()) {
      return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
    }
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
  }
  if (channel->state == ChannelState::disconnected) {
    return unresponsive("QEMU guest agent is not connected");
  }
  std::unique_lock turn(view.run->agent_turn, kTurnPatience);
  if (!turn.owns_lock()) {
    return call_error(VIR_ERR_OPERATION_TIMEOUT, "cannot acquire state change lock: the guest agent is busy");
  }
  auto fd = connect_unix(channel->source.path);
  if (!fd) {
    return unresponsive(fd.error().message);
  }
  AgentLine line(std::move(*fd), std::move(turn));
  uint32_t token = 0;
  if (::getrandom(&token, sizeof token, 0) != sizeof token) {
    token = static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  const Json sync{{"execute", "guest-sync"}, {"arguments", {{"id", token}}}};
  if (const auto sent = line.send(std::string(1, kResync) + line_of(sync)); !sent) {
    return unresponsive(sent.error().message);
  }
  const auto until = std::chrono::steady_clock::now() + patience;
  while (true) {
    const auto text = line.read(until, false);
    if (!text) {
      return unresponsive("QEMU guest agent is not connected: " + text.error().message);
    }
    const Json answer = parse_json(*text);
    if (answer.is_object() && answer.value("return", Json()) == Json(token)) {
      return line;
    }
  }
}

// The value of "return" in an answer.
Answer<Json> result_of(const std::string& text, const std::string& name) {
  Json answer = parse_json(text);
  if (!answer.is_object()) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "the guest agent's answer to '{}' is no JSON", name);
  }
  if (answer.contains("error")) {
    const Json& error = answer["error"];
    return call_error(VIR_ERR_INTERNAL_ERROR, "unable to execute QEMU agent command '{}': {}", name,
                      error.is_object() && error.contains("desc") && error["desc"].is_string()
                          ? error["desc"].get<std::string>()
                          : "no reason given");
  }
  return answer.contains("return") ? answer["return"] : Json::object();
}

}  // namespace

bool has_agent(const DomainView& view) { return agent_channel(view) != nullptr; }

Answer<Json> agent_command(const DomainView& view, const Json& command, int timeout) {
  if (timeout < VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK) {
    return call_error(VIR_ERR_INVALID_ARG, "guest agent timeout '{}' is less than the minimum '{}'", timeout,
                      static_cast<int>(VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK));
  }
  const int seconds = timeout == VIR_DOMAIN_QEMU_AGENT_COMMAND_DEFAULT ? kDefaultSeconds : std::max(timeout, 0);
  const std::string name = text_in(command, "execute");
  AgentLine line = TRY(converse(view, std::chrono::seconds(std::max(seconds, kSyncSeconds))));
  if (const auto sent = line.send(line_of(command)); !sent) {
    return unresponsive(sent.error().message);
  }
  const auto text = line.read(std::chrono::steady_clock::now() + std::chrono::seconds(std::max(seconds, 1)),
                              timeout == VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK);
  if (!text) {
    return unresponsive(text.error().message);
  }
  return result_of(*text, name);
}

Answer<void> agent_farewell(const DomainView& view, const Json& command, std::chrono::milliseconds patience) {
  AgentLine line = TRY(converse(view, std::chrono::seconds(kSyncSeconds)));
  if (const auto sent = line.send(line_of(command)); !sent) {
    return unresponsive(sent.error().message);
  }
  if (const auto text = line.read(std::chrono::steady_clock::now() + patience, false)) {
    TRY(result_of(*text, text_in(command, "execute")));
  }
  return {};
}

Answer<void> agent_shutdown(const DomainView& view, const std::string& mode) {
  return agent_farewell(view, {{"execute", "guest-shutdown"}, {"arguments", {{"mode", mode}}}},
                        std::chrono::milliseconds(0));
}

std::string disk_target(const DomainView& view, const Json& disk) {
  const auto controller = disk.find("pci-controller");
  if (!view.live || controller == disk.end() || !controller->is_object()) {
    return "";
  }
  for (const DomainDisk& one : view.live->devices.disks) {
    const auto* pci = one.address ? std::get_if<PciAddress>(&*one.address) : nullptr;
    if (pci != nullptr && integer_in<int64_t>(*controller, "domain") == pci->domain &&
        integer_in<int64_t>(*controller, "bus") == pci->bus && integer_in<int64_t>(*controller, "slot") == pci->slot &&
        integer_in<int64_t>(*controller, "function") == pci->function) {
      return one.target;
    }
  }
  return "";
}

}  // namespace lodge
