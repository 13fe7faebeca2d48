// Connection: one client. Reads its messages, gives calls to the workers, writes replies, events and stream data, answers
// keepalive.
//
// All of it runs on the network thread but send_event() and the other members of Session, which any thread may call. Nothing
// here waits for a handler: a client whose calls take long is still pinged, and its other calls are served (out of order).
#pragma once

#include <chrono>
#include <deque>
#include <unordered_map>

#include "base/log.h"
#include "libvirt-driver/access/login.h"
#include "libvirt-driver/rpc/forwarder.h"
#include "libvirt-driver/rpc/stream.h"
#include "libvirt-driver/rpc/transport.h"

namespace lodge::rpc {

// What connections of one server share.
struct ConnectionEnv {
  asio::io_context& network;
  asio::thread_pool& workers;        // calls that may wait for guests
  asio::thread_pool& high_workers;   // calls that never do
  asio::thread_pool& agent_workers;  // calls that wait for guests' agents, which may hang
  asio::thread_pool& login_workers;  // those that authenticate: they wait for people and directories
  const ProcedureTable& procedures;
  MakeForwarder make_forwarder;  // null: other daemons' procedures are not offered
  Driver* driver = nullptr;
  size_t max_running = 5;                      // calls of one client at a time; further ones queue
  size_t max_queued = 256;                     // then nothing is read from it
  size_t max_queued_bytes = size_t{1} << 20;   // the same
  std::chrono::seconds keepalive_interval{5};  // 0: no pings
  unsigned keepalive_count = 5;
  std::chrono::seconds login_time{30};  // until it must be authenticated
  GuestWarnings complaints;             // about clients; printed at a bounded rate
};

class Connection : public Session, private ForwardClient {
 public:
  Connection(ConnectionEnv& env, uint64_t id, std::unique_ptr<Transport> transport,
             std::shared_ptr<const access::AccessRule> rule, std::function<void()> on_end);
  ~Connection() override;

  // Serves the client until it leaves; call once, on the network thread.
  void run();
  // Ends it now; network thread.
  void drop(std::string_view reason);
  // Whether a call of it is being served; network thread.
  [[nodiscard]] bool busy() const { return running_ > 0; }

  void send_event(Program program, int32_t procedure, std::vector<uint8_t> payload) override;
  void close_when_replied() override;
  void start_keepalive() override;

  // For its streams; network thread.
  void send(const MessageHeader& header, std::span<const uint8_t> payload, std::vector<Fd> fds = {});
  [[nodiscard]] bool congested() const { return out_bytes_ > kCongested; }
  [[nodiscard]] asio::io_context& network() { return env_.network; }
  void forget_stream(uint32_t serial, const Stream* stream);

 private:
  static constexpr size_t kCongested = size_t{1} << 20;  // then nothing is read from it
  static constexpr size_t kHopeless = size_t{16} << 20;  // events that wait: the client is dropped
  static constexpr uint32_t kLoginMessage = 300U << 10;  // of a client that has not authenticated: SASL's longest
  static constexpr uint32_t kReadOnlyMessage = 4U << 20;

  struct Outgoing {
    std::vector<uint8_t> bytes;
    std::vector<Fd> fds;
  };

  asio::awaitable<void> read_loop(std::shared_ptr<Connection> self);
  asio::awaitable<void> write_loop(std::shared_ptr<Connection> self);
  asio::awaitable<void> keepalive_loop(std::shared_ptr<Connection> self);
  asio::awaitable<void> login_watch(std::shared_ptr<Connection> self);
  void handle(Frame frame);
  void handle_call(Frame frame);
  void handle_stream(const Frame& frame);
  void start_call(Frame frame);
  void start_queued();
  void finish_call(const MessageHeader& header, Answer<std::vector<uint8_t>> answer, std::vector<Fd> fds,
                   std::optional<StreamRequest> stream, const access::Proof* proof);
  void let_in();
  void protect(std::shared_ptr<access::SecurityLayer> layer);
  [[nodiscard]] bool may_start() const;
  [[nodiscard]] bool may_read() const;
  void complain(std::string_view about);
  void reply(MessageHeader header, const Answer<std::vector<uint8_t>>& answer, std::vector<Fd> fds);
  void send_error(MessageHeader header, MessageType type, const CallError& error);
  void push(Outgoing outgoing);
  void maybe_end();
  [[nodiscard]] std::optional<CallError> refusal(const Frame& frame, const Procedure*& procedure) const;
  void forward_call(std::string_view family, const Frame& frame);
  void pass(const MessageHeader& header, std::span<const uint8_t> payload) override;
  [[nodiscard]] bool reads() const override { return !congested(); }
  void on_room() override { start_queued(); }
  [[nodiscard]] bool is_read_only() const override { return read_only(); }

  ConnectionEnv& env_;
  std::unique_ptr<Transport> transport_;
  std::function<void()> on_end_;
  FrameReader reader_;
  std::deque<Outgoing> out_;
  size_t out_bytes_ = 0;
  std::shared_ptr<access::SecurityLayer> layer_;  // that SASL agreed on; null: none
  std::deque<Frame> queued_;                      // calls that wait for their turn
  size_t queued_bytes_ = 0;
  size_t running_ = 0;
  std::unordered_map<uint32_t, std::shared_ptr<Stream>> streams_;  // by serial
  std::unique_ptr<Forwarder> forwarder_;                           // null until it is needed
  asio::steady_timer out_signal_;  // expires never; cancelled when there is something to write or room again
  asio::steady_timer room_signal_;
  asio::steady_timer login_timer_;
  asio::steady_timer keepalive_timer_;
  std::chrono::steady_clock::time_point last_life_;
  bool keepalive_ = false;
  bool closing_ = false;  // after the replies
  bool ended_ = false;
};

// The bytes of an error, as libvirt's clients decode it.
[[nodiscard]] RemoteError to_remote(const CallError& error);

}  // namespace lodge::rpc
