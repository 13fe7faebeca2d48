// Transport: bytes to and from one client, over a unix socket (which passes descriptors), TCP or TLS. Network thread only.
#pragma once

#include <memory>

#include "libvirt-driver/rpc/asio.h"
#include "libvirt-driver/rpc/call.h"
#include "libvirt-driver/rpc/frames.h"

namespace lodge::rpc {

class Transport {
 public:
  virtual ~Transport() = default;
  // Before anything else: the TLS handshake. May take long.
  virtual asio::awaitable<Result<void>> start() { co_return Result<void>(); }
  [[nodiscard]] virtual Peer peer() const = 0;
  // Fills the reader with what comes; false: the other end has closed.
  virtual asio::awaitable<Result<bool>> read(FrameReader& into) = 0;
  virtual asio::awaitable<Result<void>> write(std::span<const uint8_t> bytes) = 0;
  // A byte for each, as the protocol has it. Error where descriptors cannot be passed.
  virtual asio::awaitable<Result<void>> write_fds(std::span<const Fd> fds);
  // Ends what waits; idempotent.
  virtual void close() = 0;
};

[[nodiscard]] std::unique_ptr<Transport> make_unix_transport(asio::local::stream_protocol::socket socket);
[[nodiscard]] std::unique_ptr<Transport> make_tcp_transport(asio::ip::tcp::socket socket);

}  // namespace lodge::rpc
