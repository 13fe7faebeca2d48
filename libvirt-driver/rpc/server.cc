#include "libvirt-driver/rpc/server.h"

#include <algorithm>

#include "base/log.h"

namespace lodge::rpc {
namespace {

// After accept() failed for want of descriptors or memory: let some clients leave first.
constexpr std::chrono::milliseconds kAcceptPause(200);
constexpr unsigned kLoginWorkers = 8;

}  // namespace

Server::Server(const ServerLimits& limits, const ProcedureTable& procedures)
    : limits_(limits),
      workers_(std::max(limits.workers, 1U)),
      high_workers_(std::max(limits.high_workers, 1U)),
      agent_workers_(std::max(limits.workers, 1U)),
      login_workers_(kLoginWorkers),
      env_{.network = network_,
           .workers = workers_,
           .high_workers = high_workers_,
           .agent_workers = agent_workers_,
           .login_workers = login_workers_,
           .procedures = procedures,
           .make_forwarder = {},
           .max_running = std::max<size_t>(limits.max_running, 1),
           .keepalive_interval = std::chrono::seconds(limits.keepalive_interval),
           .keepalive_count = limits.keepalive_count},
      room_(network_) {}

Server::~Server() {
  login_workers_.join();
  agent_workers_.join();
  workers_.join();
  high_workers_.join();
}

// Clients that have not authenticated are few; whoever of them has waited longest leaves for the next, so that nobody is
// kept out by others who say nothing.
bool Server::make_room_for_stranger() {
  std::shared_ptr<Connection> oldest;
  size_t strangers = 0;
  for (const auto& [id, connection] : connections_) {
    if (connection->authenticated() || connection->gone()) {
      continue;
    }
    ++strangers;
    if (!connection->busy() && (!oldest || id < oldest->id())) {
      oldest = connection;
    }
  }
  if (strangers < limits_.max_anonymous) {
    return true;
  }
  if (env_.complaints.admit()) {
    log_warning("rpc", "{} clients have not authenticated (max_anonymous_clients): one of them is disconnected", strangers);
  }
  if (oldest) {
    oldest->drop("others wait to authenticate");
  }
  return oldest != nullptr;
}

void Server::welcome(std::unique_ptr<Transport> transport, const RulePtr& rule) {
  if (stopper_.joinable()) {
    transport->close();
    return;
  }
  const uint64_t id = next_id_++;
  const auto connection = std::make_shared<Connection>(env_, id, std::move(transport), rule, [this, id] {
    // Later: the connection is in the middle of its own member.
    asio::post(network_, [this, id] {
      connections_.erase(id);
      client_count_ = connections_.size();
    });
  });
  if (!connection->authenticated() && !make_room_for_stranger()) {
    connection->drop("no room");
    return;
  }
  connections_.emplace(id, connection);
  client_count_ = connections_.size();
  connection->run();
}

template <class Acceptor, class Make>
asio::awaitable<void> Server::accept(Acceptor acceptor, RulePtr rule, Make make) {
  asio::steady_timer pause(network_);
  while (true) {
    while (connections_.size() >= limits_.max_clients) {  // those that come meanwhile wait (max_queued_clients)
      pause.expires_after(kAcceptPause);
      (void)co_await pause.async_wait(kAwait);
    }
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
    welcome(make(std::move(socket)), rule);
  }
}

Result<void> Server::listen_unix(Fd fd, RulePtr rule) {
  asio::local::stream_protocol::acceptor acceptor(network_);
  boost::system::error_code error;
  acceptor.assign(asio::local::stream_protocol(), fd.release(), error);
  if (error) {
    return fail("listen on a unix socket: {}", error.message());
  }
  asio::co_spawn(network_, accept(std::move(acceptor), std::move(rule), make_unix_transport), asio::detached);
  return {};
}

Result<void> Server::listen_tcp(Fd fd, RulePtr rule, std::shared_ptr<const access::TlsCredentials> credentials) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  asio::ip::tcp::acceptor acceptor(network_);
  boost::system::error_code error;
  acceptor.assign(address.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd.release(), error);
  if (error) {
    return fail("listen on a TCP socket: {}", error.message());
  }
  const auto make = [credentials = std::move(credentials)](asio::ip::tcp::socket socket) {
    return credentials ? make_tls_transport(std::move(socket), credentials) : make_tcp_transport(std::move(socket));
  };
  asio::co_spawn(network_, accept(std::move(acceptor), std::move(rule), make), asio::detached);
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
      login_workers_.join();
      agent_workers_.join();
      workers_.join();
      high_workers_.join();
      network_.stop();
    });
  });
}

}  // namespace lodge::rpc
