// What a call of a client is, for those who answer it: no sockets here. A handler is a plain function
//
//   Answer<rpc::DomainGetInfoRet> domain_get_info(rpc::Call& call, const rpc::DomainGetInfoArgs& args);
//
// that runs on a worker thread and may wait; bind<Proc::domain_get_info, domain_get_info>() makes it a row of the table,
// with its decoder, its encoder and the check of read-only connections.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.h"
#include "libvirt-driver/access/peer.h"
#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/rpc/message.h"
#include "libvirt-driver/rpc/procedure.h"
#include "libvirt-driver/rpc/protocol.h"

namespace lodge {
class Driver;
}
namespace lodge::access {
class Login;
struct AccessRule;
struct Proof;
}  // namespace lodge::access

namespace lodge::rpc {

using access::Peer;
using access::TransportKind;

// One client's connection. Thread-safe.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(uint64_t id, Peer peer, std::shared_ptr<const access::AccessRule> rule);
  virtual ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] uint64_t id() const { return id_; }
  [[nodiscard]] const Peer& peer() const { return peer_; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] bool opened() const { return opened_; }
  [[nodiscard]] bool authenticated() const { return authenticated_; }
  // For the calls that authenticate, which come one at a time.
  [[nodiscard]] access::Login& login() { return *login_; }
  // Whether nobody on the way can read what is sent.
  [[nodiscard]] bool secure() const { return encrypted_ || peer_.transport != TransportKind::tcp; }
  // Whether the connection has ended.
  [[nodiscard]] bool gone() const { return gone_; }
  // False if it is open already. A connection once read-only stays so.
  [[nodiscard]] bool open(bool read_only);

  // Sends an event. A client that lets too many wait is disconnected.
  virtual void send_event(Program program, int32_t procedure, std::vector<uint8_t> payload) = 0;
  // Sends the replies that are due, then closes.
  virtual void close_when_replied() = 0;
  // The client asked for keepalive: it is pinged from now on.
  virtual void start_keepalive() = 0;

  // Runs `fn` once when the connection ends (at once if it has), on a worker. The number cancels it.
  uint64_t on_close(std::function<void()> fn);
  void cancel_on_close(uint64_t number);

 protected:
  void run_on_close();
  // Before the first call is served: TLS knows its client only after the handshake.
  void set_peer(Peer peer) { peer_ = std::move(peer); }
  void set_authenticated() { authenticated_ = true; }
  void set_encrypted() { encrypted_ = true; }
  void set_gone() { gone_ = true; }

 private:
  const uint64_t id_;
  Peer peer_;
  std::atomic<bool> read_only_;
  std::atomic<bool> opened_ = false;
  std::atomic<bool> authenticated_ = false;
  std::atomic<bool> encrypted_ = false;
  std::atomic<bool> gone_ = false;
  std::unique_ptr<access::Login> login_;
  std::mutex mutex_;
  bool closed_ = false;
  uint64_t next_ = 1;
  std::vector<std::pair<uint64_t, std::function<void()>>> on_close_;
};

// The daemon's end of a stream, for whoever wants to end it.
class StreamControl {
 public:
  virtual ~StreamControl() = default;
  // The client gets the error and the stream is over. Any thread.
  virtual void fail(CallError error) = 0;
};

// What a handler of a stream procedure leaves: a descriptor that is joined with the client once it has its reply.
struct StreamRequest {
  Fd fd;                                                        // non-blocking: terminal, socket
  std::string what;                                             // for errors: "console 'serial0' of domain 'web'"
  std::function<void(std::shared_ptr<StreamControl>)> on_open;  // on the network thread
  std::function<void()> on_closed;                              // the same
};

struct Call {
  Driver& driver;
  std::shared_ptr<Session> session;
  const ProcedureRow* row = nullptr;
  std::vector<Fd> fds;                   // that came with it
  std::vector<Fd> reply_fds;             // that go with the reply
  std::shared_ptr<access::Proof> proof;  // the client has authenticated, from this reply on
  std::optional<StreamRequest> stream;
};

// Decodes, checks, runs and encodes.
using Invoke = Answer<std::vector<uint8_t>> (*)(Call& call, std::span<const uint8_t> arguments);

struct Binding {
  Program program;
  int32_t number;
  Invoke invoke;
};

// "operation forbidden" for a read-only client.
[[nodiscard]] CallError read_only_error(std::string_view procedure);

namespace detail {

template <auto P, auto Handler>
Answer<std::vector<uint8_t>> invoke(Call& call, std::span<const uint8_t> bytes) {
  using Args = typename Shape<P>::Args;
  auto args = decode<Args>(bytes);
  if (!args) {
    return std::unexpected(
        CallError(VIR_ERR_RPC, "Unable to decode message payload: " + args.error().message, VIR_FROM_RPC));
  }
  if (call.session->read_only() && Shape<P>::denied(*args)) {
    return std::unexpected(read_only_error(call.row->name));
  }
  auto answer = Handler(call, *args);
  if (!answer) {
    return std::unexpected(std::move(answer).error());
  }
  if constexpr (std::is_void_v<typename decltype(answer)::value_type>) {
    return std::vector<uint8_t>();
  } else {
    return encode(*answer);
  }
}

}  // namespace detail

template <auto P, auto Handler>
constexpr Binding bind() {
  constexpr Program program = std::same_as<decltype(P), Proc> ? Program::remote : Program::qemu;
  return {program, static_cast<int32_t>(P), detail::invoke<P, Handler>};
}

// The table as the server uses it.
struct Procedure {
  const ProcedureRow* row = nullptr;
  Invoke invoke = nullptr;  // null: not offered
};
class ProcedureTable {
 public:
  // Bindings of rows that there are not, or twice: our own mistake, ends the process.
  explicit ProcedureTable(std::span<const Binding> bindings);
  // Null: no such procedure.
  [[nodiscard]] const Procedure* find(Program program, int32_t number) const;
  [[nodiscard]] std::span<const Procedure> all(Program program) const;

 private:
  std::vector<Procedure> remote_;  // by number
  std::vector<Procedure> qemu_;
};

// "virDomainGetInfo" for DOMAIN_GET_INFO: as libvirt's messages name a call.
[[nodiscard]] std::string function_name(std::string_view procedure);

}  // namespace lodge::rpc
