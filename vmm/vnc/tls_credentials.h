// TlsCredentials: the certificate that clients of an encrypted screen are shown, and whose certificates are accepted from
// them. Read once by the server's process, before it is confined; the processes of clients inherit it.
#pragma once

#include <gnutls/gnutls.h>

#include <array>
#include <memory>
#include <string>

#include "base/result.h"

namespace lodge::vnc {

struct TlsFile {
  std::string name;  // for errors
  std::string text;  // PEM
};
struct TlsFiles {
  TlsFile ca;
  TlsFile cert;  // the server's, then those between it and the authority
  TlsFile key;   // without a passphrase
};
// ca-cert.pem, server-cert.pem and server-key.pem of a folder. Error: names the file.
[[nodiscard]] Result<TlsFiles> read_tls_folder(const std::string& folder);
// The same three as descriptors, which are closed. Error: names the one.
[[nodiscard]] Result<TlsFiles> read_tls_descriptors(const std::array<int, 3>& descriptors);

class TlsCredentials {
 public:
  // `verify_clients`: a client needs a certificate that the authority signed. Error: what is wrong with which file.
  [[nodiscard]] static Result<std::unique_ptr<TlsCredentials>> load(TlsFiles files, bool verify_clients);
  ~TlsCredentials() { forget(); }
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  // Makes the session one that shows and asks for these.
  [[nodiscard]] Result<void> apply(gnutls_session_t session) const;
  // After the handshake. Error: the client may not come in.
  [[nodiscard]] Result<void> check_client(gnutls_session_t session) const;
  // For a process that needs them no more: the key is wiped from its memory.
  void forget();

 private:
  explicit TlsCredentials(bool verify_clients) : verify_clients_(verify_clients) {}
  [[nodiscard]] Result<void> take(const TlsFiles& files);

  bool verify_clients_;
  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_priority_t priority_ = nullptr;
};

}  // namespace lodge::vnc
