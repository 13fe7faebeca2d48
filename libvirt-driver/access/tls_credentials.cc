#include "libvirt-driver/access/tls_credentials.h"

#include <gnutls/x509.h>

#include <array>

#include "base/fd.h"
#include "base/log.h"
#include "libvirt-driver/access/certificate_checks.h"

namespace lodge::access {
namespace {

constexpr uint64_t kMaxFile = uint64_t{4} << 20;
constexpr std::string_view kHelp = "virtlodged(8), section TLS, tells how certificates are made";

Result<std::string> read_pem(const std::string& path, std::string_view key) {
  auto text = read_file(path, kMaxFile);
  if (!text) {
    return fail("TLS needs {}: {}; {}", key, text.error().message, kHelp);
  }
  return std::move(*text);
}

// SAFETY: GnuTLS only reads the data; its type has no const.
gnutls_datum_t datum(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), static_cast<unsigned>(text.size())};
}

// What a certificate's verification found, for people.
std::string verdict(unsigned status) {
  gnutls_datum_t text{};
  if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) < 0) {
    return fmt::format("status {}", status);
  }
  std::string out(reinterpret_cast<const char*>(text.data), text.size);
  gnutls_free(text.data);
  while (!out.empty() && (out.back() == ' ' || out.back() == '.' || out.back() == '\0')) {
    out.pop_back();
  }
  return out;
}

}  // namespace

Result<std::string> certificate_dn(const gnutls_datum_t& der) {
  gnutls_x509_crt_t certificate = nullptr;
  int code = gnutls_x509_crt_init(&certificate);
  if (code < 0) {
    return fail("{}", gnutls_strerror(code));
  }
  std::array<char, 2048> name{};
  size_t size = name.size();
  code = gnutls_x509_crt_import(certificate, &der, GNUTLS_X509_FMT_DER);
  if (code >= 0) {
    code = gnutls_x509_crt_get_dn(certificate, name.data(), &size);
  }
  gnutls_x509_crt_deinit(certificate);
  if (code < 0) {
    return fail("a certificate has no name that can be read: {}", gnutls_strerror(code));
  }
  return std::string(name.data(), size);
}

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::load(const TlsOptions& options) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials);
  TRY_VOID(made->read(options));
  return made;
}

TlsCredentials::~TlsCredentials() {
  if (credentials_ != nullptr) {
    gnutls_certificate_free_credentials(credentials_);
  }
  if (priority_ != nullptr) {
    gnutls_priority_deinit(priority_);
  }
}

Result<void> TlsCredentials::read(const TlsOptions& options) {
  verify_clients_ = options.verify_clients;
  allowed_dns_ = options.allowed_dns;
  const char* wrong = nullptr;
  if (const int code = gnutls_priority_init(&priority_, options.priority.c_str(), &wrong); code < 0) {
    return fail("tls_priority \"{}\" is not one of GnuTLS at \"{}\": {}", options.priority, wrong == nullptr ? "" : wrong,
                gnutls_strerror(code));
  }
  const std::string ca = TRY(read_pem(options.ca_file, "ca_file"));
  const std::string cert = TRY(read_pem(options.cert_file, "cert_file"));
  const std::string key = TRY(read_pem(options.key_file, "key_file"));
  if (options.check_own) {
    TRY_VOID(check_server_certificate(options.cert_file, cert, options.ca_file, ca));
  }
  if (const int code = gnutls_certificate_allocate_credentials(&credentials_); code < 0) {
    return fail("{}", gnutls_strerror(code));
  }
  const gnutls_datum_t ca_data = datum(ca);
  if (const int count = gnutls_certificate_set_x509_trust_mem(credentials_, &ca_data, GNUTLS_X509_FMT_PEM); count <= 0) {
    return fail("'{}' (ca_file) holds no certificate in PEM: {}", options.ca_file, gnutls_strerror(count));
  }
  const gnutls_datum_t cert_data = datum(cert);
  const gnutls_datum_t key_data = datum(key);
  if (const int code = gnutls_certificate_set_x509_key_mem(credentials_, &cert_data, &key_data, GNUTLS_X509_FMT_PEM);
      code < 0) {
    return fail("'{}' (cert_file) and '{}' (key_file) are not a certificate and its key in PEM: {}", options.cert_file,
                options.key_file, gnutls_strerror(code));
  }
  if (options.crl_file.empty()) {
    return {};
  }
  auto crl = read_file(options.crl_file, kMaxFile);
  if (!crl && crl.error().code == ENOENT && options.crl_may_be_absent) {
    return {};
  }
  if (!crl) {
    return fail("TLS needs crl_file: {}", crl.error().message);
  }
  const gnutls_datum_t crl_data = datum(*crl);
  if (const int count = gnutls_certificate_set_x509_crl_mem(credentials_, &crl_data, GNUTLS_X509_FMT_PEM); count <= 0) {
    return fail("'{}' (crl_file) holds no revocation list in PEM: {}", options.crl_file, gnutls_strerror(count));
  }
  return {};
}

Result<void> TlsCredentials::apply(gnutls_session_t session) const {
  int code = gnutls_priority_set(session, priority_);
  if (code >= 0) {
    code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials_);
  }
  if (code < 0) {
    return fail("prepare a TLS session: {}", gnutls_strerror(code));
  }
  gnutls_certificate_server_set_request(session, verify_clients_ ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
  return {};
}

Result<std::string> TlsCredentials::check_client(gnutls_session_t session) const {
  if (!verify_clients_) {
    return std::string();
  }
  // SAFETY: GnuTLS only reads the purpose; its type has no const.
  gnutls_typed_vdata_st purpose{GNUTLS_DT_KEY_PURPOSE_OID,
                                reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT)), 0};
  unsigned status = 0;
  if (const int code = gnutls_certificate_verify_peers(session, &purpose, 1, &status); code < 0) {
    return fail("its certificate cannot be verified: {}", gnutls_strerror(code));
  }
  unsigned count = 0;
  const gnutls_datum_t* chain = gnutls_certificate_get_peers(session, &count);
  if (chain == nullptr || count == 0) {
    return fail("it showed no certificate");
  }
  std::string dn = TRY(certificate_dn(chain[0]));
  if (status != 0) {
    return fail("its certificate '{}' is refused: {}", dn, verdict(status));
  }
  if (!matches_any(allowed_dns_, dn)) {
    return fail("its certificate's name '{}' is not in tls_allowed_dn_list", dn);
  }
  return dn;
}

}  // namespace lodge::access
