#include "vmm/control/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "vmm/control/protocol.h"

namespace lodge {
namespace {

using Json = nlohmann::json;
constexpr time_t kWaitSeconds = 20;

Result<void> send_with(int socket, std::string_view text, int descriptor) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    return fail_errno(errno, "send");
  }
  return {};
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("control socket '{}': a socket's path has 1 to {} bytes", path, sizeof address.sun_path - 1);
  }
  path.copy(address.sun_path, path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{kWaitSeconds, 0};
  // SAFETY: the socket interface takes every address through sockaddr.
  if (!socket.valid() || ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "control socket '{}' of the monitor", path);
  }
  return ControlClient(std::move(socket), path);
}

Result<std::string> ControlClient::line() {
  while (true) {
    if (const size_t end = input_.find('\n'); end != std::string::npos) {
      std::string text = input_.substr(0, end);
      input_.erase(0, end + 1);
      return text;
    }
    std::array<char, 4096> bytes;
    const ssize_t n = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0 || input_.size() > kMaxControlMessage) {
      return fail("control socket '{}': the monitor {}", path_, n == 0 ? "closed it" : "does not answer");
    }
    input_.append(bytes.data(), static_cast<size_t>(n));
  }
}

Result<void> ControlClient::execute(std::string_view command, std::string_view arguments, int descriptor) {
  const std::string request = fmt::format("{{\"execute\": \"{}\", \"arguments\": {}}}\n", command, arguments);
  TRY_VOID_CONTEXT(send_with(socket_.get(), request, descriptor), fmt::format("control socket '{}'", path_));
  while (true) {
    const std::string text = TRY(line());
    const Json answer = Json::parse(text, nullptr, false);
    if (!answer.is_object()) {
      return fail("control socket '{}': '{}' is no answer of a monitor", path_, text.substr(0, 80));
    }
    if (answer.contains("error")) {
      const Json& error = answer["error"];
      return fail("{}", error.is_object() ? error.value("desc", "the monitor refuses") : "the monitor refuses");
    }
    if (answer.contains("return")) {
      return {};
    }  // else the greeting, or an event
  }
}

}  // namespace lodge
