#include "libvirt-driver/access/tls_session.h"

namespace lodge::access {
namespace {

constexpr int kMaxTries = 16;  // after warnings of the other end; more of them are an attempt to keep us busy

}  // namespace

Result<std::unique_ptr<TlsSession>> TlsSession::create(std::shared_ptr<const TlsCredentials> credentials, int socket) {
  std::unique_ptr<TlsSession> made(new TlsSession(std::move(credentials)));
  // No session tickets: libvirt's clients take the record that brings them for the server's confirmation.
  const unsigned flags = GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS;
  if (const int code = gnutls_init(&made->session_, flags); code < 0) {
    made->session_ = nullptr;
    return fail("prepare a TLS session: {}", gnutls_strerror(code));
  }
  TRY_VOID(made->credentials_->apply(made->session_));
  gnutls_transport_set_int(made->session_, socket);
  gnutls_handshake_set_timeout(made->session_, 0);  // the connection has a limit of its own
  return made;
}

TlsSession::~TlsSession() {
  if (session_ != nullptr) {
    gnutls_deinit(session_);
  }
}

TlsSession::Wait TlsSession::direction() const {
  return gnutls_record_get_direction(session_) == 0 ? Wait::to_read : Wait::to_write;
}

Result<TlsSession::Wait> TlsSession::handshake() {
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const int code = gnutls_handshake(session_);
    if (code == GNUTLS_E_SUCCESS) {
      established_ = true;
      return Wait::nothing;
    }
    if (code == GNUTLS_E_AGAIN) {
      return direction();
    }
    if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
      return fail("the client ended the TLS handshake: {}", gnutls_alert_get_name(gnutls_alert_get(session_)));
    }
    if (gnutls_error_is_fatal(code) != 0) {
      gnutls_alert_send_appropriate(session_, code);
      return fail("TLS handshake: {}", gnutls_strerror(code));
    }
  }
  return fail("TLS handshake: the client sends nothing but warnings");
}

int TlsSession::strength() const { return static_cast<int>(gnutls_cipher_get_key_size(gnutls_cipher_get(session_))) * 8; }

Result<TlsSession::Progress> TlsSession::read(std::span<uint8_t> into) {
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const ssize_t got = gnutls_record_recv(session_, into.data(), into.size());
    if (got >= 0) {
      return Progress{Wait::nothing, static_cast<size_t>(got)};
    }
    const int code = static_cast<int>(got);
    if (code == GNUTLS_E_PREMATURE_TERMINATION) {
      return Progress{};  // clients that crash say no goodbye
    }
    if (code == GNUTLS_E_AGAIN) {
      return Progress{direction(), 0};
    }
    // A new handshake in the middle is never needed, and a way to keep us busy.
    if (gnutls_error_is_fatal(code) != 0 || code == GNUTLS_E_REHANDSHAKE) {
      return fail("read from the client over TLS: {}", gnutls_strerror(code));
    }
  }
  return fail("read from the client over TLS: it sends nothing but warnings");
}

Result<TlsSession::Progress> TlsSession::write(std::span<const uint8_t> bytes) {
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const ssize_t sent = gnutls_record_send(session_, bytes.data(), bytes.size());
    if (sent >= 0) {
      return Progress{Wait::nothing, static_cast<size_t>(sent)};
    }
    const int code = static_cast<int>(sent);
    if (code == GNUTLS_E_AGAIN) {
      return Progress{direction(), 0};
    }
    if (gnutls_error_is_fatal(code) != 0) {
      return fail("write to the client over TLS: {}", gnutls_strerror(code));
    }
  }
  return fail("write to the client over TLS: it does not come to an end");
}

void TlsSession::close() {
  if (established_) {
    (void)gnutls_bye(session_, GNUTLS_SHUT_WR);
    established_ = false;
  }
  gnutls_transport_set_int(session_, -1);  // the descriptor's number may soon be another's
}

}  // namespace lodge::access
