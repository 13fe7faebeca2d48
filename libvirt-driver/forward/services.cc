#include "libvirt-driver/forward/services.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace lodge::forward {
namespace {

Result<Fd> connect_at_once(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("the path '{}' is longer than a socket's may be", path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return fail_errno(errno, "make a socket");
  }
  // SAFETY: the kernel's own way of telling kinds of addresses apart.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) {
      return fail("'{}': it lets nobody in, too many wait already", path);
    }
    return fail_errno(errno, "'{}'", path);
  }
  return fd;
}

}  // namespace

std::string service_uri(const HostServices& services, std::string_view family) {
  return fmt::format("{}:///{}", family, services.session ? "session" : "system");
}

Answer<ServiceSocket> connect_service(const HostServices& services, std::string_view family, bool read_only) {
  const std::string own = fmt::format("virt{}d", family);
  const std::array places{std::pair(own, own + "-sock"), std::pair(std::string("libvirtd"), std::string("libvirt-sock"))};
  std::string tried;
  for (const auto& [daemon, socket] : places) {
    for (const std::string_view suffix : {std::string_view("-ro"), std::string_view("")}) {
      if (!suffix.empty() && !read_only) {
        continue;
      }
      const std::string path = fmt::format("{}/{}{}", services.folder, socket, suffix);
      auto fd = connect_at_once(path);
      if (fd) {
        return ServiceSocket{.fd = std::move(*fd), .path = path, .daemon = daemon};
      }
      const bool absent = fd.error().code == ENOENT || fd.error().code == ECONNREFUSED;
      if (suffix.empty() || !absent) {
        tried += (tried.empty() ? "" : ", ") + fd.error().message;
      }
      if (!absent) {
        return call_error(VIR_ERR_NO_SUPPORT, "the host's {} service cannot be reached ({})", family, tried);
      }
    }
  }
  const std::string start =
      services.session ? "libvirtd --daemon" : fmt::format("systemctl start libvirtd.socket, or {}.socket", own);
  return call_error(VIR_ERR_NO_SUPPORT, "the host's {} service is not running ({}); start it: {}", family, tried, start);
}

}  // namespace lodge::forward
