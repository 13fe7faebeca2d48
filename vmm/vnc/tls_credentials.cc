#include "vmm/vnc/tls_credentials.h"

#include <fcntl.h>
#include <gnutls/x509.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fd.h"

namespace lodge::vnc {
namespace {

constexpr size_t kMaxFile = size_t{1} << 20;
constexpr std::string_view kHelp = "lodge-vnc(1) tells what TLS needs";

// SAFETY: GnuTLS only reads the data; its type has no const.
gnutls_datum_t datum(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), static_cast<unsigned>(text.size())};
}

// To its end. There is one copy of the text, which can be wiped.
Result<TlsFile> read_text(const Fd& fd, std::string name) {
  TlsFile file{std::move(name), std::string(kMaxFile, '\0')};
  size_t size = 0;
  while (size < file.text.size()) {
    const ssize_t n = ::read(fd.get(), file.text.data() + size, file.text.size() - size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return fail("{}: {}; {}", file.name, std::strerror(errno), kHelp);
    }
    if (n == 0) {
      file.text.resize(size);
      return file;
    }
    size += static_cast<size_t>(n);
  }
  return fail("{} has more than {} MiB; {}", file.name, kMaxFile >> 20, kHelp);
}

// Not by a path: the file may be one that this process could not open.
Result<TlsFile> read_descriptor(int number, std::string_view what) {
  return read_text(Fd(number), fmt::format("{} (--tls-cert-fds {})", what, number));
}

}  // namespace

Result<TlsFiles> read_tls_folder(const std::string& folder) {
  const auto file = [&folder](std::string_view name) -> Result<TlsFile> {
    const std::string path = fmt::format("{}/{}", folder, name);
    const auto fd = open_file(path, O_RDONLY);
    if (!fd) {
      return fail("{}: {}; {}", path, std::strerror(fd.error().code), kHelp);
    }
    return read_text(*fd, path);
  };
  return TlsFiles{TRY(file("ca-cert.pem")), TRY(file("server-cert.pem")), TRY(file("server-key.pem"))};
}

Result<TlsFiles> read_tls_descriptors(const std::array<int, 3>& descriptors) {
  return TlsFiles{TRY(read_descriptor(descriptors[0], "the authority's certificate")),
                  TRY(read_descriptor(descriptors[1], "the server's certificate")),
                  TRY(read_descriptor(descriptors[2], "the server's key"))};
}

Result<std::unique_ptr<TlsCredentials>> TlsCredentials::load(TlsFiles files, bool verify_clients) {
  std::unique_ptr<TlsCredentials> made(new TlsCredentials(verify_clients));
  const auto outcome = made->take(files);
  ::explicit_bzero(files.key.text.data(), files.key.text.size());
  TRY_VOID(outcome);
  return made;
}

Result<void> TlsCredentials::take(const TlsFiles& files) {
  int code = gnutls_priority_init(&priority_, "NORMAL", nullptr);
  if (code >= 0) {
    code = gnutls_certificate_allocate_credentials(&credentials_);
  }
  if (code < 0) {
    return fail("prepare TLS: {}", gnutls_strerror(code));
  }
  const gnutls_datum_t ca = datum(files.ca.text);
  if (const int count = gnutls_certificate_set_x509_trust_mem(credentials_, &ca, GNUTLS_X509_FMT_PEM); count <= 0) {
    return fail("{} holds no certificate in PEM: {}; {}", files.ca.name, gnutls_strerror(count), kHelp);
  }
  const gnutls_datum_t cert = datum(files.cert.text);
  const gnutls_datum_t key = datum(files.key.text);
  code = gnutls_certificate_set_x509_key_mem(credentials_, &cert, &key, GNUTLS_X509_FMT_PEM);
  if (code < 0) {
    return fail("{} and {} are no certificate and its key, without a passphrase, in PEM: {}; {}", files.cert.name,
                files.key.name, gnutls_strerror(code), kHelp);
  }
  return {};
}

void TlsCredentials::forget() {
  if (credentials_ != nullptr) {
    gnutls_certificate_free_credentials(std::exchange(credentials_, nullptr));
  }
  if (priority_ != nullptr) {
    gnutls_priority_deinit(std::exchange(priority_, nullptr));
  }
}

Result<void> TlsCredentials::apply(gnutls_session_t session) const {
  int code = gnutls_priority_set(session, priority_);
  if (code >= 0) {
    code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials_);
  }
  if (code < 0) {
    return fail("prepare a TLS session: {}", gnutls_strerror(code));
  }
  gnutls_certificate_server_set_request(session, verify_clients_ ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
  return {};
}

Result<void> TlsCredentials::check_client(gnutls_session_t session) const {
  if (!verify_clients_) {
    return {};
  }
  // SAFETY: GnuTLS only reads the purpose; its type has no const.
  gnutls_typed_vdata_st purpose{GNUTLS_DT_KEY_PURPOSE_OID,
                                reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT)), 0};
  unsigned status = 0;
  if (const int code = gnutls_certificate_verify_peers(session, &purpose, 1, &status); code < 0) {
    return fail("its certificate cannot be verified: {}", gnutls_strerror(code));
  }
  if (status != 0) {
    return fail("its certificate is refused: status {:#x}", status);
  }
  return {};
}

}  // namespace lodge::vnc
