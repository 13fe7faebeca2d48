#include "libvirt-driver/rpc/server.h"

#include <algorithm>

#include "base/log.h"

namespace lodge::rpc {
namespace {

// After accept() failed for want of descriptors or memory: let some clients leave first.
constexpr std::chrono::milliseconds kAcceptPause(200);

}  // namespace

Server::Server(const ServerLimits& limits, const ProcedureTable& procedures)
    : limits_(limits),
      workers_(std::max(limits.workers, 1U)),
      high_workers_(std::max(limits.high_workers, 1U)),
      env_{.network = network_,
           .workers = workers_,
           .high_workers = high_workers_,
           .procedures = procedures,
           .max_running = std::max<size_t>(limits.max_running, 1),
           .keepalive_interval = std::chrono::seconds(limits.keepalive_interval),
           .keepalive_count = limits.keepalive_count},
      room_(network_) {}

Server::~Server() {
  workers_.join();
  high_workers_.join();
}

bool Server::has_room() const {
  if (connections_.size() >= limits_.max_clients) {
    return false;
  }
  const auto anonymous =
      std::ranges::count_if(connections_, [](const auto& entry) { return !entry.second->authenticated(); });
  return static_cast<size_t>(anonymous) < limits_.max_anonymous;
}

void Server::welcome(std::unique_ptr<Transport> transport, const ListenOptions& options) {
  if (stopper_.joinable()) {
    transport->close();
    return;
  }
  if (!has_room()) {
    log_warning("rpc", "a client is turned away: {} are connected (max_clients, max_anonymous_clients)",
                connections_.size());
    transport->close();
    return;
  }
  const uint64_t id = next_id_++;
  const auto connection = std::make_shared<Connection>(env_, id, std::move(transport), options.read_only, [this, id] {
    // Later: the connection is in the middle of its own member.
    asio::post(network_, [this, id] {
      connections_.erase(id);
      client_count_ = connections_.size();
    });
  });
  if (options.trusted(connection->peer())) {
    connection->set_authenticated();
  }
  connections_.emplace(id, connection);
  client_count_ = connections_.size();
  connection->run();
}

template <class Acceptor, class Make>
asio::awaitable<void> Server::accept(Acceptor acceptor, ListenOptions options, Make make) {
  while (true) {
    auto [error, socket] = co_await acceptor.async_accept(kAwait);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) {
      co_return;
    }
    if (error) {
      log_warning("rpc", "a client cannot be accepted: {}", error.message());
      room_.expires_after(kAcceptPause);
      (void)co_await room_.async_wait(kAwait);
      continue;
    }
    welcome(make(std::move(socket)), options);
  }
}

Result<void> Server::listen_unix(Fd fd, ListenOptions options) {
  asio::local::stream_protocol::acceptor acceptor(network_);
  boost::system::error_code error;
  acceptor.assign(asio::local::stream_protocol(), fd.release(), error);
  if (error) {
    return fail("listen on a unix socket: {}", error.message());
  }
  asio::co_spawn(network_, accept(std::move(acceptor), std::move(options), make_unix_transport), asio::detached);
  return {};
}

Result<void> Server::listen_tcp(Fd fd, ListenOptions options) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  asio::ip::tcp::acceptor acceptor(network_);
  boost::system::error_code error;
  acceptor.assign(address.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd.release(), error);
  if (error) {
    return fail("listen on a TCP socket: {}", error.message());
  }
  asio::co_spawn(network_, accept(std::move(acceptor), std::move(options), make_tcp_transport), asio::detached);
  return {};
}

void Server::run() {
  const auto guard = asio::make_work_guard(network_);
  network_.run();
  if (stopper_.joinable()) {
    stopper_.join();
  }
}

void Server::stop() {
  asio::post(network_, [this] {
    if (stopper_.joinable()) {
      return;
    }
    const auto connections = connections_;
    for (const auto& [id, connection] : connections) {
      connection->drop("the daemon ends");
    }
    // Calls under way are finished, and talk to monitors through the network thread: it ends last.
    stopper_ = std::thread([this] {
      workers_.join();
      high_workers_.join();
      network_.stop();
    });
  });
}

}  // namespace lodge::rpc
