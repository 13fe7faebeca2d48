#include "vmm/vnc/tls_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace lodge::vnc {
namespace {

constexpr int kMaxTries = 16;  // after warnings of the other end; more of them are an attempt to keep us busy

Result<TlsStream::Progress> plain(ssize_t done, short event, const char* what) {
  if (done >= 0) {
    return TlsStream::Progress{.size = static_cast<size_t>(done), .closed = done == 0};
  }
  if (errno == EAGAIN || errno == EINTR) {
    return TlsStream::Progress{.waits_for = event};
  }
  return fail_errno(errno, "{}", what);
}

}  // namespace

TlsStream::~TlsStream() {
  if (session_ != nullptr) {
    gnutls_deinit(session_);
  }
}

TlsStream::Progress TlsStream::wait() const {
  return {.waits_for = gnutls_record_get_direction(session_) == 0 ? short{POLLIN} : short{POLLOUT}};
}

Result<void> TlsStream::begin() {
  const unsigned flags = GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS;
  if (const int code = gnutls_init(&session_, flags); code < 0) {
    session_ = nullptr;
    return fail("prepare a TLS session: {}", gnutls_strerror(code));
  }
  TRY_VOID(credentials_.apply(session_));
  gnutls_transport_set_int(session_, socket_);
  gnutls_handshake_set_timeout(session_, 0);  // the server's process has a limit
  return {};
}

Result<TlsStream::Progress> TlsStream::handshake() {
  if (session_ == nullptr) {
    TRY_VOID(begin());
  }
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const int code = gnutls_handshake(session_);
    if (code == GNUTLS_E_SUCCESS) {
      established_ = true;
      return Progress{.size = 1};
    }
    if (code == GNUTLS_E_AGAIN) {
      return wait();
    }
    if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
      return fail("the client ends the TLS handshake: {}", gnutls_alert_get_name(gnutls_alert_get(session_)));
    }
    if (gnutls_error_is_fatal(code) != 0) {
      (void)gnutls_alert_send_appropriate(session_, code);
      return fail("TLS handshake: {}", gnutls_strerror(code));
    }
  }
  return fail("TLS handshake: the client sends nothing but warnings");
}

Result<TlsStream::Progress> TlsStream::read(std::span<uint8_t> into) {
  if (session_ == nullptr) {
    return plain(::recv(socket_, into.data(), into.size(), MSG_DONTWAIT), POLLIN, "receive from the client");
  }
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const ssize_t got = gnutls_record_recv(session_, into.data(), into.size());
    if (got >= 0) {
      return Progress{.size = static_cast<size_t>(got), .closed = got == 0};
    }
    const int code = static_cast<int>(got);
    if (code == GNUTLS_E_PREMATURE_TERMINATION) {
      return Progress{.closed = true};  // clients that crash say no goodbye
    }
    if (code == GNUTLS_E_AGAIN) {
      return wait();
    }
    // A new handshake in the middle is never needed, and a way to keep us busy.
    if (gnutls_error_is_fatal(code) != 0 || code == GNUTLS_E_REHANDSHAKE) {
      return fail("receive from the client over TLS: {}", gnutls_strerror(code));
    }
  }
  return fail("receive from the client over TLS: it sends nothing but warnings");
}

Result<TlsStream::Progress> TlsStream::write(std::span<const uint8_t> bytes) {
  if (session_ == nullptr) {
    return plain(::send(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL), POLLOUT, "send to the client");
  }
  for (int tries = 0; tries < kMaxTries; ++tries) {
    const ssize_t sent = gnutls_record_send(session_, bytes.data(), bytes.size());
    if (sent >= 0) {
      return Progress{.size = static_cast<size_t>(sent)};
    }
    const int code = static_cast<int>(sent);
    if (code == GNUTLS_E_AGAIN) {
      return wait();
    }
    if (gnutls_error_is_fatal(code) != 0) {
      return fail("send to the client over TLS: {}", gnutls_strerror(code));
    }
  }
  return fail("send to the client over TLS: it does not come to an end");
}

void TlsStream::close() {
  if (established_) {
    (void)gnutls_bye(session_, GNUTLS_SHUT_WR);
    established_ = false;
  }
}

}  // namespace lodge::vnc
