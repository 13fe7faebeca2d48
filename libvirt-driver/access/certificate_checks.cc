#include "libvirt-driver/access/certificate_checks.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <ctime>
#include <vector>

namespace lodge::access {
namespace {

class CertificateList {
 public:
  CertificateList() = default;
  ~CertificateList() {
    for (gnutls_x509_crt_t certificate : all_) {
      gnutls_x509_crt_deinit(certificate);
    }
  }
  CertificateList(const CertificateList&) = delete;
  CertificateList& operator=(const CertificateList&) = delete;

  Result<void> read(std::string_view file, const std::string& text) {
    // SAFETY: GnuTLS only reads the data; its type has no const.
    const gnutls_datum_t data{reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
                              static_cast<unsigned>(text.size())};
    gnutls_x509_crt_t* list = nullptr;
    unsigned count = 0;
    const int code = gnutls_x509_crt_list_import2(&list, &count, &data, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0) {
      return fail("'{}' holds no certificate in PEM: {}", file, gnutls_strerror(code));
    }
    all_.assign(list, list + count);
    gnutls_free(static_cast<void*>(list));
    return {};
  }
  [[nodiscard]] const std::vector<gnutls_x509_crt_t>& all() const { return all_; }

 private:
  std::vector<gnutls_x509_crt_t> all_;
};

Result<void> check_times(std::string_view file, gnutls_x509_crt_t certificate) {
  const time_t now = std::time(nullptr);
  if (gnutls_x509_crt_get_expiration_time(certificate) < now) {
    return fail("a certificate in '{}' has expired; renew it, or look at this host's clock", file);
  }
  if (gnutls_x509_crt_get_activation_time(certificate) > now) {
    return fail("a certificate in '{}' is not valid yet; look at this host's clock", file);
  }
  return {};
}

bool is_authority(gnutls_x509_crt_t certificate) {
  return gnutls_x509_crt_get_basic_constraints(certificate, nullptr, nullptr, nullptr) > 0;
}

// Certificates that do not limit their use have all.
bool has_usage(gnutls_x509_crt_t certificate, unsigned wanted) {
  unsigned usage = 0;
  return gnutls_x509_crt_get_key_usage(certificate, &usage, nullptr) < 0 || (usage & wanted) != 0;
}

Result<void> check_authority(std::string_view file, gnutls_x509_crt_t certificate) {
  TRY_VOID(check_times(file, certificate));
  if (!is_authority(certificate)) {
    return fail(
        "a certificate in '{}' is not an authority's (basic constraints); certtool makes one with 'ca' in its template",
        file);
  }
  if (!has_usage(certificate, GNUTLS_KEY_KEY_CERT_SIGN)) {
    return fail("a certificate in '{}' may not sign others (key usage); certtool: 'cert_signing_key'", file);
  }
  return {};
}

Result<void> check_server(std::string_view file, gnutls_x509_crt_t certificate) {
  TRY_VOID(check_times(file, certificate));
  if (is_authority(certificate)) {
    return fail("the certificate in '{}' is an authority's, not a server's; give the server one of its own", file);
  }
  if (!has_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE)) {
    return fail("the certificate in '{}' may not be used for signatures (key usage); certtool: 'signing_key'", file);
  }
  if (gnutls_x509_crt_check_key_purpose(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0) == 0) {
    return fail("the certificate in '{}' is not for TLS servers (key purpose); certtool: 'tls_www_server'", file);
  }
  return {};
}

}  // namespace

Result<void> check_server_certificate(std::string_view cert_file, const std::string& cert, std::string_view ca_file,
                                      const std::string& ca) {
  CertificateList own;
  CertificateList authorities;
  TRY_VOID(own.read(cert_file, cert));
  TRY_VOID(authorities.read(ca_file, ca));
  for (gnutls_x509_crt_t certificate : authorities.all()) {
    TRY_VOID(check_authority(ca_file, certificate));
  }
  TRY_VOID(check_server(cert_file, own.all().front()));
  unsigned status = 0;
  const int code =
      gnutls_x509_crt_list_verify(own.all().data(), static_cast<unsigned>(own.all().size()), authorities.all().data(),
                                  static_cast<unsigned>(authorities.all().size()), nullptr, 0, 0, &status);
  if (code < 0 || status != 0) {
    return fail("the certificate in '{}' is not signed by the authority in '{}'; clients would refuse it", cert_file,
                ca_file);
  }
  return {};
}

}  // namespace lodge::access
