#include "vmm/control/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <chrono>
#include <cstring>

#include "base/log.h"
#include "vmm/machine/machine.h"

namespace lodge {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("control socket '{}': a socket's path has 1 to {} bytes; use a shorter one", path,
                sizeof address.sun_path - 1);
  }
  path.copy(address.sun_path, path.size());
  return address;
}

Result<Fd> new_socket(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return fail_errno(errno, "control socket '{}'", path);
  }
  return fd;
}

// Removes a socket that nobody listens on any more.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    return {};
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail("control socket '{}': a file that is not a socket is there; remove it or choose another path", path);
  }
  const Fd probe = TRY(new_socket(path));
  // SAFETY: the socket interface takes every address through sockaddr.
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED) {
    return fail("control socket '{}': another process listens there; choose another path", path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "control socket '{}': remove the old one", path);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::create(EventLoop& control, ControlTarget& target, Listen listen) {
  std::unique_ptr<ControlServer> server(new ControlServer(control, target));
  if (listen.fd.valid()) {
    server->listener_ = std::move(listen.fd);
  } else {
    TRY_VOID(server->listen_at(listen.path));
  }
  server->watch_listener();
  return server;
}

void ControlServer::watch_listener() {
  watch_ = loop_.on_readable(listener_.get(), [this] { accept_client(); });
}

ControlServer::~ControlServer() {
  watch_.reset();
  clients_.clear();
  struct stat info{};
  if (!path_.empty() && ::lstat(path_.c_str(), &info) == 0 && info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

Result<void> ControlServer::listen_at(const std::string& path) {
  const sockaddr_un address = TRY(address_of(path));
  TRY_VOID(remove_stale(path, address));
  listener_ = TRY(new_socket(path));
  ::fchmod(listener_.get(), 0600);  // before bind: the socket in the file system never has another mode
  // SAFETY: as above.
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail("control socket '{}': {}; choose a path in a folder that exists and may be written", path,
                std::generic_category().message(errno));
  }
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0) {
    path_ = path;
    inode_ = info.st_ino;
  }
  if (::listen(listener_.get(), 16) != 0) {
    return fail_errno(errno, "control socket '{}'", path);
  }
  return {};
}

void ControlServer::accept_client() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      log_warning("control", "cannot take a client: {}", std::strerror(errno));
      watch_.reset();  // the client stays in line: look again later
      retry_ = loop_.after(std::chrono::milliseconds(200), [this] { watch_listener(); });
    }
    return;
  }
  if (clients_.size() >= kMaxClients) {
    log_warning("control", "a client was turned away: there are {} already", kMaxClients);
    return;
  }
  const uint64_t number = next_client_++;
  ControlConnection::Hooks hooks;
  hooks.request = [this, number](const Request& request, std::deque<Fd>& received) { run(number, request, received); };
  hooks.closed = [this, number](std::string_view why) { closed(number, why); };
  const auto it =
      clients_.emplace(number, std::make_unique<ControlConnection>(loop_, std::move(socket), std::move(hooks))).first;
  it->second->send(greeting_line());
}

void ControlServer::run(uint64_t client, const Request& request, std::deque<Fd>& received) {
  execute(request, {target_, descriptors_, received},
          [this, client, alive = std::weak_ptr<bool>(alive_)](const std::string& line) {
            if (alive.expired()) {
              return;
            }
            if (const auto it = clients_.find(client); it != clients_.end()) {
              it->second->answer(line);
            }
          });
}

void ControlServer::closed(uint64_t client, std::string_view why) {
  if (!why.empty()) {
    log_warning("control", "a client is dropped: {}", why);
  }
  loop_.post([this, client, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) {
      clients_.erase(client);
    }
  });
}

void ControlServer::broadcast(const MachineEvent& event) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string line =
      event_line(event.name, event.details, std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  for (const auto& [number, client] : clients_) {
    client->send(line);
  }
}

}  // namespace lodge
