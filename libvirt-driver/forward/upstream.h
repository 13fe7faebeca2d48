// Upstream: a connection to another libvirt daemon of the host, as its client: opens it, gives calls their numbers, and lets
// only messages through that the protocol has at that point. What comes from there is checked here, once.
//
// Network thread only. Whatever happens to the connection, every call gets one answer and every stream one end.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <unordered_map>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/rpc/transport.h"

namespace lodge::forward {

struct UpstreamOptions {
  std::string family;  // "network": the others' events are not passed on
  std::string path;    // of the socket, for messages
  std::string daemon;  // the same: "virtnetworkd"
  std::string uri;     // "network:///system"
  bool read_only = false;
  std::chrono::milliseconds keepalive_interval{5000};
  unsigned keepalive_count = 5;  // pings without an answer, then it is given up
};

class UpstreamUser {
 public:
  // A reply, a part of a stream or an event; the serial is the one that the user gave.
  virtual void on_message(const rpc::MessageHeader& header, std::span<const uint8_t> payload) = 0;
  // False: nothing is read until Upstream::resume().
  [[nodiscard]] virtual bool takes_more() const { return true; }
  // It is congested() no more.
  virtual void on_room() {}
  // The connection is of no more use; what is outstanding is then answered with an error.
  virtual void on_lost() = 0;

 protected:
  ~UpstreamUser() = default;
};

class Upstream : public std::enable_shared_from_this<Upstream> {
 public:
  // Begins to open the connection; calls may be given at once.
  [[nodiscard]] static std::shared_ptr<Upstream> create(asio::io_context& network, Fd socket, UpstreamOptions options,
                                                        UpstreamUser& user);
  Upstream(asio::io_context& network, std::unique_ptr<rpc::Transport> transport, UpstreamOptions options,
           UpstreamUser& user);

  // Error: a stream of that serial is open, or a message would be too long.
  [[nodiscard]] std::optional<CallError> call(int32_t procedure, uint32_t serial, std::span<const uint8_t> payload);
  // A part of the stream that the call of that serial opened. False: there is none.
  bool stream(const rpc::MessageHeader& header, std::span<const uint8_t> payload);
  [[nodiscard]] bool congested() const { return out_bytes_ > kCongested; }
  // The user takes more.
  void resume() { room_signal_.cancel(); }
  // The user leaves: it hears nothing more.
  void close();

 private:
  static constexpr size_t kCongested = size_t{1} << 20;
  static constexpr size_t kMost = 1024;  // calls and streams at a time

  enum class Phase : uint8_t { authenticating, opening, open, over };
  struct Pending {
    int32_t procedure = 0;
    uint32_t serial = 0;     // the user's
    bool stream = false;     // an open stream, no call any more
    bool finishing = false;  // the user has ended it: an answer is due
  };
  using PendingMap = std::unordered_map<uint32_t, Pending>;

  asio::awaitable<void> read_loop(std::shared_ptr<Upstream> self);
  asio::awaitable<void> write_loop(std::shared_ptr<Upstream> self);
  asio::awaitable<void> keepalive_loop(std::shared_ptr<Upstream> self);
  [[nodiscard]] Result<void> take(const rpc::Frame& frame);
  [[nodiscard]] Result<void> take_reply(const rpc::Frame& frame);
  [[nodiscard]] Result<void> take_handshake(const rpc::Frame& frame);
  [[nodiscard]] Result<void> take_stream(const rpc::Frame& frame);
  void take_event(const rpc::Frame& frame);
  void pass(rpc::MessageHeader header, uint32_t serial, std::span<const uint8_t> payload);
  [[nodiscard]] uint32_t next_serial();
  [[nodiscard]] PendingMap::iterator find_stream(uint32_t serial);
  void push(std::vector<uint8_t> message);
  void send(const rpc::MessageHeader& header, std::span<const uint8_t> payload);
  void lose(std::string_view what);
  [[nodiscard]] std::string name() const;

  asio::io_context& network_;
  std::unique_ptr<rpc::Transport> transport_;
  UpstreamOptions options_;
  UpstreamUser* user_;  // null: has left
  Phase phase_ = Phase::authenticating;
  rpc::FrameReader reader_;
  PendingMap pending_;  // by our serial
  uint32_t last_serial_ = 0;
  std::deque<std::vector<uint8_t>> waiting_;  // calls, until it is open
  std::deque<std::vector<uint8_t>> out_;
  size_t out_bytes_ = 0;           // of both
  asio::steady_timer out_signal_;  // expires never; cancelled when there is something to write
  asio::steady_timer room_signal_;
  asio::steady_timer keepalive_timer_;
  std::chrono::steady_clock::time_point last_life_;
};

}  // namespace lodge::forward
