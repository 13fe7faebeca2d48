// TLS over TCP, as libvirt's clients speak it: after the handshake and after it has looked at the client's certificate the
// server sends one byte, 1; then come messages.
#include <array>

#include "libvirt-driver/access/tls_session.h"
#include "libvirt-driver/rpc/transport.h"

namespace lodge::rpc {
namespace {

using access::TlsSession;

class TlsTransport : public Transport {
 public:
  TlsTransport(asio::ip::tcp::socket socket, std::shared_ptr<const access::TlsCredentials> credentials)
      : socket_(std::move(socket)), peer_(prepare_tcp(socket_, TransportKind::tls)), credentials_(std::move(credentials)) {}

  Peer peer() const override { return peer_; }

  asio::awaitable<Result<void>> start() override {
    auto session = TlsSession::create(credentials_, socket_.native_handle());
    if (!session) {
      co_return std::unexpected(std::move(session).error());
    }
    session_ = std::move(*session);
    while (true) {
      const auto step = session_->handshake();
      if (!step) {
        co_return std::unexpected(step.error());
      }
      if (*step == TlsSession::Wait::nothing) {
        break;
      }
      if (const auto ready = co_await wait(*step); !ready) {
        co_return ready;
      }
    }
    auto dn = session_->client_dn();
    if (!dn) {
      co_return std::unexpected(std::move(dn).error());
    }
    peer_.certificate_dn = std::move(*dn);
    peer_.strength = session_->strength();
    constexpr std::array<uint8_t, 1> kWelcome{1};
    co_return co_await write(kWelcome);
  }

  asio::awaitable<Result<bool>> read(FrameReader& into) override {
    while (true) {
      const auto done = session_->read(into.space());
      if (!done) {
        co_return std::unexpected(done.error());
      }
      if (done->wait == TlsSession::Wait::nothing) {
        into.filled(done->size);
        co_return done->size > 0;
      }
      if (const auto ready = co_await wait(done->wait); !ready) {
        co_return std::unexpected(ready.error());
      }
    }
  }

  asio::awaitable<Result<void>> write(std::span<const uint8_t> bytes) override {
    while (!bytes.empty()) {
      const auto done = session_->write(bytes);
      if (!done) {
        co_return std::unexpected(done.error());
      }
      bytes = bytes.subspan(done->size);
      if (done->wait != TlsSession::Wait::nothing) {
        if (const auto ready = co_await wait(done->wait); !ready) {
          co_return ready;
        }
      }
    }
    co_return Result<void>();
  }

  void close() override {
    if (session_) {
      session_->close();
    }
    boost::system::error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_both, ignored);
    socket_.close(ignored);
  }

 private:
  asio::awaitable<Result<void>> wait(TlsSession::Wait what) {
    const auto kind = what == TlsSession::Wait::to_read ? asio::socket_base::wait_read : asio::socket_base::wait_write;
    const auto [error] = co_await socket_.async_wait(kind, kAwait);
    if (error) {
      co_return fail_errno(error.value(), "wait for the client at {}", peer_.address);
    }
    co_return Result<void>();
  }

  asio::ip::tcp::socket socket_;
  Peer peer_;
  std::shared_ptr<const access::TlsCredentials> credentials_;
  std::unique_ptr<TlsSession> session_;
};

}  // namespace

std::unique_ptr<Transport> make_tls_transport(asio::ip::tcp::socket socket,
                                              std::shared_ptr<const access::TlsCredentials> credentials) {
  return std::make_unique<TlsTransport>(std::move(socket), std::move(credentials));
}

}  // namespace lodge::rpc
