#include "vmm/control/server.h"

#include <sys/socket.h>
#include <chrono>
#include <cstring>

#include "base/log.h"

namespace lodge {

Result<std::unique_ptr<ControlServer>> ControlServer::create(EventLoop& control, RunRequest run, Listen listen) {
  std::unique_ptr<ControlServer> server(new ControlServer(control, std::move(run)));
  if (listen.fd.valid()) {
    server->listener_ = std::move(listen.fd);
  } else {
    server->at_path_ = TRY(UnixListener::create(listen.path, "control socket"));
    server->listener_ = server->at_path_.take_socket();
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
  run_(request, descriptors_, received, [this, client, alive = std::weak_ptr<bool>(alive_)](const std::string& line) {
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

void ControlServer::broadcast(std::string_view event, const EventDetails& details) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string line = event_line(event, details, std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  for (const auto& [number, client] : clients_) {
    client->send(line);
  }
}

}  // namespace lodge
