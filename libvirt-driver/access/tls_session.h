// TlsSession: TLS over one socket that does not block: each step does what it can and says what the next one waits for.
// Network thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "libvirt-driver/access/tls_credentials.h"

namespace lodge::access {

class TlsSession {
 public:
  enum class Wait : uint8_t { nothing, to_read, to_write };
  struct Progress {
    Wait wait = Wait::nothing;
    size_t size = 0;  // bytes done; 0 of a read without waiting: the other end has closed
  };

  // The socket stays the caller's and must not block.
  [[nodiscard]] static Result<std::unique_ptr<TlsSession>> create(std::shared_ptr<const TlsCredentials> credentials,
                                                                  int socket);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  [[nodiscard]] Result<Wait> handshake();
  // After the handshake: the client's name. Error: it may not connect.
  [[nodiscard]] Result<std::string> client_dn() const { return credentials_->check_client(session_); }
  // Strength of the cipher, bits.
  [[nodiscard]] int strength() const;
  [[nodiscard]] Result<Progress> read(std::span<uint8_t> into);
  // A write that has to wait is to be repeated with the same bytes.
  [[nodiscard]] Result<Progress> write(std::span<const uint8_t> bytes);
  // Says goodbye if that is possible at once.
  void close();

 private:
  explicit TlsSession(std::shared_ptr<const TlsCredentials> credentials) : credentials_(std::move(credentials)) {}
  [[nodiscard]] Wait direction() const;

  std::shared_ptr<const TlsCredentials> credentials_;
  gnutls_session_t session_ = nullptr;
  bool established_ = false;
};

}  // namespace lodge::access
