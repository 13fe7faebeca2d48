// TlsCredentials: the server's certificate and whose certificates it accepts, loaded once and shared by all connections.
//
// load() at the start of the daemon; the rest on the network thread, const.
#pragma once

#include <gnutls/gnutls.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "libvirt-driver/access/pattern.h"

namespace lodge::access {

struct TlsOptions {
  std::string key_file;   // PEM all
  std::string cert_file;  // the server's, then those between it and the authority
  std::string ca_file;
  std::string crl_file;           // "": none
  bool crl_may_be_absent = true;  // of the usual place
  bool verify_clients = true;     // false: a client needs no certificate, and what it shows is not looked at
  bool check_own = true;          // that clients will accept the server's certificate
  Patterns allowed_dns;
  std::string priority = "NORMAL";
};

class TlsCredentials {
 public:
  // Errors: a file that cannot be read, is no PEM or does not fit the others, a certificate that clients would refuse, a
  // priority that GnuTLS does not know; each with what to do.
  [[nodiscard]] static Result<std::shared_ptr<const TlsCredentials>> load(const TlsOptions& options);
  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  // Makes the session one that shows and asks for these.
  [[nodiscard]] Result<void> apply(gnutls_session_t session) const;
  // After the handshake: the client's name (DN), "" where nobody looks at certificates. Error: it may not connect.
  [[nodiscard]] Result<std::string> check_client(gnutls_session_t session) const;

 private:
  TlsCredentials() = default;
  [[nodiscard]] Result<void> read(const TlsOptions& options);

  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_priority_t priority_ = nullptr;
  bool verify_clients_ = true;
  Patterns allowed_dns_;
};

// "CN=web.example.org,O=Example", as tls_allowed_dn_list has it. Error: no certificate, or one without a name.
[[nodiscard]] Result<std::string> certificate_dn(const gnutls_datum_t& der);

}  // namespace lodge::access
