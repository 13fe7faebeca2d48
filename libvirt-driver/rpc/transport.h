// Transport: bytes to and from one client, over a unix socket (which passes descriptors), TCP or TLS. Network thread only.
#pragma once

#include <memory>

#include "libvirt-driver/access/tls_credentials.h"
#include "libvirt-driver/rpc/asio.h"
#include "libvirt-driver/rpc/call.h"
#include "libvirt-driver/rpc/frames.h"

namespace lodge::rpc {

class Transport {
 public:
  virtual ~Transport() = default;
  // Before anything else: the TLS handshake, and whether the client may connect at all. May take long.
  virtual asio::awaitable<Result<void>> start() { co_return Result<void>(); }
  // The client's name is known only after start().
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
[[nodiscard]] std::unique_ptr<Transport> make_tls_transport(asio::ip::tcp::socket socket,
                                                            std::shared_ptr<const access::TlsCredentials> credentials);

// Sets up a connected TCP socket; who is at its other end.
[[nodiscard]] Peer prepare_tcp(asio::ip::tcp::socket& socket, TransportKind kind);

}  // namespace lodge::rpc
