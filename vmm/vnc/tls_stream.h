// TlsStream: a client's connection, in clear until TLS is begun. Nothing blocks: each step does what it can and says what
// the next one waits for. In the client's TLS process.
#pragma once

#include <cstdint>
#include <span>

#include "vmm/vnc/tls_credentials.h"

namespace lodge::vnc {

class TlsStream {
 public:
  struct Progress {
    size_t size = 0;      // bytes done
    short waits_for = 0;  // POLLIN or POLLOUT of the socket, when none could be; else 0
    bool closed = false;  // by the client
  };

  // The socket stays the caller's and must not block; `credentials` outlive this.
  TlsStream(int socket, const TlsCredentials& credentials) : socket_(socket), credentials_(credentials) {}
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // A step of the TLS handshake; `size` is 1 when it is complete. What came before is in clear, all that follows is not.
  [[nodiscard]] Result<Progress> handshake();
  // After it. Error: the client may not come in.
  [[nodiscard]] Result<void> check_client() const { return credentials_.check_client(session_); }
  [[nodiscard]] Result<Progress> read(std::span<uint8_t> into);
  // One that has to wait is to be repeated with the same bytes.
  [[nodiscard]] Result<Progress> write(std::span<const uint8_t> bytes);
  // Says goodbye if that is possible at once.
  void close();

 private:
  [[nodiscard]] Result<void> begin();
  [[nodiscard]] Progress wait() const;

  int socket_;
  const TlsCredentials& credentials_;
  gnutls_session_t session_ = nullptr;
  bool established_ = false;
};

}  // namespace lodge::vnc
