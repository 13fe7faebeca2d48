// Forwarder: where the calls of one client go that other daemons of the host serve (the families of procedures.txt);
// forward/ implements it. Network thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/rpc/asio.h"
#include "libvirt-driver/rpc/frames.h"

namespace lodge::rpc {

// The client, as its forwarder sees it.
class ForwardClient {
 public:
  // A reply, once for each call that was accepted, or an event or a part of a stream. Sent as it is.
  virtual void pass(const MessageHeader& header, std::span<const uint8_t> payload) = 0;
  // Whether the client reads what is sent to it. When it does again, Forwarder::client_reads() tells.
  [[nodiscard]] virtual bool reads() const = 0;
  // The forwarder has room again.
  virtual void on_room() = 0;
  [[nodiscard]] virtual bool is_read_only() const = 0;

 protected:
  ~ForwardClient() = default;
};

class Forwarder {
 public:
  virtual ~Forwarder() = default;
  // Accepts a call of a family, or says why not. pass() is not called from within.
  [[nodiscard]] virtual std::optional<CallError> call(std::string_view family, const Frame& frame) = 0;
  // A part of a stream; of one that is not known (any more), nothing happens.
  virtual void stream(const Frame& frame) = 0;
  // Without room nothing more is to be read from the client.
  [[nodiscard]] virtual bool has_room() const = 0;
  virtual void client_reads() = 0;
};

using MakeForwarder = std::function<std::unique_ptr<Forwarder>(asio::io_context& network, ForwardClient& client)>;

}  // namespace lodge::rpc
