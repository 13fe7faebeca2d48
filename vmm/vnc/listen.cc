#include "vmm/vnc/listen.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <memory>

namespace lodge::vnc {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kBacklog = 64;

Result<Fd> listen_on(const addrinfo& address) {
  Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!socket.valid() || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return fail_errno(errno, "make a socket");
  }
  if (address.ai_family == AF_INET6) {  // 0.0.0.0 is asked for by itself
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (::bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return fail_errno(errno, "listen");
  }
  return socket;
}

}  // namespace

Result<Listening> listen_at(const std::string& where) {
  Listening all;
  if (where.starts_with(kUnix)) {
    all.path = TRY(UnixListener::create(where.substr(kUnix.size()), "VNC socket"));
    all.sockets.push_back(all.path.take_socket());
    return all;
  }
  const size_t colon = where.rfind(':');
  if (colon == std::string::npos || colon + 1 == where.size()) {
    return fail("'{}' is no place to listen at; give ADDRESS:PORT or unix:PATH", where);
  }
  std::string host = where.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int rc = ::getaddrinfo(host.c_str(), where.substr(colon + 1).c_str(), &hints, &found); rc != 0) {
    return fail("listen at '{}': {}", where, ::gai_strerror(rc));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, ::freeaddrinfo);
  Error error;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    if (auto socket = listen_on(*address)) {
      all.sockets.push_back(std::move(*socket));
    } else {
      error = socket.error();
    }
  }
  if (all.sockets.empty()) {
    return context(error, fmt::format("listen at '{}'", where));
  }
  return all;
}

Result<Fd> inherited_listener(int fd, std::string_view option) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0) {
    return fail("{} {}: this is no listening socket", option, fd);
  }
  Fd owned(fd);
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return fail_errno(errno, "{} {}", option, fd);
  }
  return owned;
}

}  // namespace lodge::vnc
