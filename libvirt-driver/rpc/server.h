// Server: the sockets that clients connect to, the limits on them, and the workers that answer their calls.
//
// Constructor and run() on the main thread, which becomes the network thread; stop() and the counters from anywhere.
#pragma once

#include <string>
#include <thread>
#include <unordered_map>

#include "libvirt-driver/rpc/connection.h"

namespace lodge::rpc {

struct ServerLimits {
  size_t max_clients = 5000;
  size_t max_anonymous = 20;  // that have not authenticated
  size_t max_running = 5;     // calls of one client
  unsigned workers = 20;
  unsigned high_workers = 5;
  unsigned keepalive_interval = 5;  // s, 0: none
  unsigned keepalive_count = 5;
};

using RulePtr = std::shared_ptr<const access::AccessRule>;  // how a listening socket's clients are treated

class Server {
 public:
  Server(const ServerLimits& limits, const ProcedureTable& procedures);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Whose calls they are; before run().
  void serve(Driver& driver) { env_.driver = &driver; }
  // Where other daemons' procedures go; before run().
  void forward_by(MakeForwarder make) { env_.make_forwarder = std::move(make); }
  // Takes over a listening socket.
  [[nodiscard]] Result<void> listen_unix(Fd fd, RulePtr rule);
  // With credentials every client must speak TLS.
  [[nodiscard]] Result<void> listen_tcp(Fd fd, RulePtr rule, std::shared_ptr<const access::TlsCredentials> credentials);
  // Serves until stop(), then until all calls under way have ended.
  void run();
  // Clients are let go at once. Any thread.
  void stop();
  [[nodiscard]] asio::io_context& network() { return network_; }
  [[nodiscard]] asio::thread_pool& workers() { return workers_; }
  [[nodiscard]] size_t clients() const { return client_count_; }

 private:
  // Welcomes the clients of one listening socket for ever; `make` gives a socket's transport.
  template <class Acceptor, class Make>
  asio::awaitable<void> accept(Acceptor acceptor, RulePtr rule, Make make);
  void welcome(std::unique_ptr<Transport> transport, const RulePtr& rule);
  [[nodiscard]] bool make_room_for_stranger();

  ServerLimits limits_;
  asio::io_context network_{1};
  asio::thread_pool workers_;
  asio::thread_pool high_workers_;
  asio::thread_pool agent_workers_;
  asio::thread_pool login_workers_;
  ConnectionEnv env_;
  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> connections_;
  std::atomic<size_t> client_count_ = 0;
  asio::steady_timer room_;
  std::thread stopper_;  // network thread's; there once it is stopping
};

}  // namespace lodge::rpc
