// Stream: joins a descriptor (terminal, socket) with a client's stream. Network thread only, but fail().
//
// Flow control: what the guest writes is not read while the client does not take it; what the client writes waits for the
// descriptor up to a limit, then the stream fails and says so (a terminal may never be read).
#pragma once

#include <deque>

#include "libvirt-driver/rpc/asio.h"
#include "libvirt-driver/rpc/call.h"
#include "libvirt-driver/rpc/frames.h"

namespace lodge::rpc {

class Connection;

class Stream : public StreamControl, public std::enable_shared_from_this<Stream> {
 public:
  // `header`: of the call that opened it; all its messages have its procedure and serial.
  Stream(const std::shared_ptr<Connection>& connection, const MessageHeader& header, StreamRequest request);
  void start();
  // A message of the client's.
  void receive(const Frame& frame);
  // The connection is gone.
  void drop();
  void fail(CallError error) override;

 private:
  static constexpr size_t kMaxWaiting = size_t{1} << 20;

  asio::awaitable<void> read_loop(std::shared_ptr<Stream> self);
  asio::awaitable<void> write_loop(std::shared_ptr<Stream> self);
  void send(MessageStatus status, std::span<const uint8_t> payload);
  void end();

  std::weak_ptr<Connection> connection_;
  MessageHeader header_;
  StreamRequest request_;
  asio::posix::stream_descriptor descriptor_;
  asio::steady_timer pace_;
  std::deque<std::vector<uint8_t>> waiting_;
  size_t waiting_bytes_ = 0;
  bool writing_ = false;
  bool finishing_ = false;
  bool ended_ = false;
};

}  // namespace lodge::rpc
