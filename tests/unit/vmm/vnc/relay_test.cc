#include "vmm/vnc/relay.h"

#include <fcntl.h>
#include <gnutls/x509.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include <ctime>
#include <string>
#include <thread>

#include "base/fd.h"

namespace lodge::vnc {
namespace {

using namespace std::string_literals;

std::string take(gnutls_datum_t datum) {
  std::string text(reinterpret_cast<const char*>(datum.data), datum.size);
  gnutls_free(datum.data);
  return text;
}

// A key and a certificate of its own that is its authority's, too.
TlsFiles make_files() {
  gnutls_x509_privkey_t key = nullptr;
  gnutls_x509_crt_t certificate = nullptr;
  REQUIRE(gnutls_x509_privkey_init(&key) == 0);
  REQUIRE(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
  REQUIRE(gnutls_x509_crt_init(&certificate) == 0);
  REQUIRE(gnutls_x509_crt_set_version(certificate, 3) == 0);
  REQUIRE(gnutls_x509_crt_set_serial(certificate, "\1", 1) == 0);
  REQUIRE(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, "web", 3) == 0);
  REQUIRE(gnutls_x509_crt_set_activation_time(certificate, std::time(nullptr) - 60) == 0);
  REQUIRE(gnutls_x509_crt_set_expiration_time(certificate, std::time(nullptr) + 3600) == 0);
  REQUIRE(gnutls_x509_crt_set_key(certificate, key) == 0);
  REQUIRE(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0) == 0);
  gnutls_datum_t text{};
  REQUIRE(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text) == 0);
  const std::string cert = take(text);
  REQUIRE(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &text) == 0);
  TlsFiles files{{"ca.pem", cert}, {"cert.pem", cert}, {"key.pem", take(text)}};
  gnutls_x509_crt_deinit(certificate);
  gnutls_x509_privkey_deinit(key);
  return files;
}

// A relay on a thread of its own, with a client and a libvncserver that the test plays.
class Bench {
 public:
  explicit Bench(Access access, bool verify = false) {
    auto loaded = TlsCredentials::load(make_files(), verify);
    INFO((loaded ? "" : loaded.error().message));
    REQUIRE(loaded);
    credentials_ = std::move(*loaded);
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    client = Fd(ends[0]);
    relay_client_ = Fd(ends[1]);
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    inner = Fd(ends[0]);
    relay_inner_ = Fd(ends[1]);
    for (const Fd* fd : {&relay_client_, &relay_inner_}) {
      REQUIRE(::fcntl(fd->get(), F_SETFL, O_NONBLOCK) == 0);
    }
    thread_ = std::thread([this, access = std::move(access)] {
      Relay relay(relay_client_.get(), relay_inner_.get(), *credentials_, access, Challenge{});
      outcome_ = relay.run();
      relay_client_.reset();
      relay_inner_.reset();
    });
  }
  ~Bench() {
    client.reset();
    inner.reset();
    if (thread_.joinable()) {
      thread_.join();
    }
    if (session_ != nullptr) {
      gnutls_deinit(session_);
      gnutls_certificate_free_credentials(anybody_);
    }
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  static void put(int fd, const std::string& bytes) { REQUIRE(write_all(fd, bytes)); }
  static std::string get(int fd, size_t size) {
    std::string bytes(size, '\0');
    REQUIRE(::recv(fd, bytes.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size));
    return bytes;
  }
  // As far as the choice of the subtype.
  void choose(const std::string& subtype) {
    put(client.get(), "RFB 003.008\n\x13\0\2"s + subtype);
    REQUIRE(get(client.get(), 12 + 2 + 2 + 1 + 5 + 1).ends_with('\1'));
  }
  int handshake() {
    REQUIRE(gnutls_init(&session_, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) == 0);
    REQUIRE(gnutls_certificate_allocate_credentials(&anybody_) == 0);
    REQUIRE(gnutls_set_default_priority(session_) == 0);
    REQUIRE(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, anybody_) == 0);
    gnutls_transport_set_int(session_, client.get());
    return gnutls_handshake(session_);
  }
  void put_tls(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n = gnutls_record_send(session_, bytes.data() + at, bytes.size() - at);
      REQUIRE(n > 0);
      at += static_cast<size_t>(n);
    }
  }
  std::string get_tls(size_t size) {
    std::string bytes(size, '\0');
    for (size_t at = 0; at < size;) {
      const ssize_t n = gnutls_record_recv(session_, bytes.data() + at, size - at);
      REQUIRE(n > 0);
      at += static_cast<size_t>(n);
    }
    return bytes;
  }
  // libvncserver's part of its handshake.
  void let_in() {
    put(inner.get(), "RFB 003.008\n"s);
    REQUIRE(get(inner.get(), 12) == "RFB 003.008\n");
    put(inner.get(), "\2\1\x10"s);
    REQUIRE(get(inner.get(), 1) == "\1");
    put(inner.get(), "\0\0\0\0"s);
  }
  const Relay::Outcome& outcome() {
    thread_.join();
    return outcome_;
  }

  Fd client;
  Fd inner;

 private:
  std::unique_ptr<TlsCredentials> credentials_;
  Fd relay_client_;
  Fd relay_inner_;
  std::thread thread_;
  Relay::Outcome outcome_;
  gnutls_session_t session_ = nullptr;
  gnutls_certificate_credentials_t anybody_ = nullptr;
};

const std::string kNone = "\0\0\1\x04"s;
const std::string kVnc = "\0\0\1\x05"s;

}  // namespace

TEST_CASE("a relay brings bytes of any number both ways, and the end") {
  Bench bench({});
  bench.choose(kNone);
  REQUIRE(bench.handshake() == 0);
  CHECK(bench.get_tls(4) == "\0\0\0\0"s);
  bench.let_in();
  bench.put_tls("\1");
  CHECK(Bench::get(bench.inner.get(), 1) == "\1");
  std::string much(3'000'000, '\0');
  for (size_t i = 0; i < much.size(); ++i) {
    much[i] = static_cast<char>(i * 7 + i / 1000);
  }
  {
    const std::jthread writer([&] { Bench::put(bench.inner.get(), much); });
    CHECK(bench.get_tls(much.size()) == much);
  }
  {
    const std::jthread writer([&] { bench.put_tls(much); });
    CHECK(Bench::get(bench.inner.get(), much.size()) == much);
  }
  SECTION("of the client") {
    bench.put_tls("last");
    bench.client.reset();
    CHECK(Bench::get(bench.inner.get(), 4) == "last");
    char byte = 0;
    CHECK(::recv(bench.inner.get(), &byte, 1, 0) == 0);
  }
  SECTION("of libvncserver") {
    Bench::put(bench.inner.get(), "last");
    bench.inner.reset();
    CHECK(bench.get_tls(4) == "last");
  }
  CHECK(bench.outcome().end == Relay::End::closed);
}

TEST_CASE("what a client typed before it went arrives, though it did not read") {
  Bench bench({});
  bench.choose(kNone);
  REQUIRE(bench.handshake() == 0);
  CHECK(bench.get_tls(4) == "\0\0\0\0"s);
  bench.let_in();
  const std::string picture(10'000'000, 'p');  // more than all buffers
  const std::jthread writer([&] { (void)::send(bench.inner.get(), picture.data(), picture.size(), MSG_NOSIGNAL); });
  (void)bench.get_tls(1);
  std::string typed;
  for (char key = 'A'; key < 'z'; ++key) {
    bench.put_tls({key});
    typed += key;
  }
  bench.client.reset();
  CHECK(Bench::get(bench.inner.get(), typed.size()) == typed);
  CHECK(bench.outcome().end == Relay::End::closed);
}

TEST_CASE("a relay keeps out who does not belong") {
  SECTION("without the password") {
    Bench bench({.kind = Access::Kind::password, .password = "secret"});
    bench.choose(kVnc);
    REQUIRE(bench.handshake() == 0);
    CHECK(bench.get_tls(16) == std::string(16, '\0'));
    bench.put_tls(std::string(16, 'x'));
    CHECK(bench.get_tls(4) == "\0\0\0\1"s);
    CHECK(bench.outcome().end == Relay::End::password);
  }
  SECTION("without a certificate") {
    Bench bench({}, true);
    bench.choose(kNone);
    (void)bench.handshake();  // with TLS 1.3 the client hears of it later
    CHECK(bench.outcome().end == Relay::End::tls_failed);
  }
  SECTION("without TLS") {
    Bench bench({});
    Bench::put(bench.client.get(), "RFB 003.008\n\1");
    CHECK(bench.outcome().end == Relay::End::no_tls);
  }
  SECTION("with rubbish in place of TLS") {
    Bench bench({});
    bench.choose(kNone);
    Bench::put(bench.client.get(), std::string(100, 'x'));
    CHECK(bench.outcome().end == Relay::End::tls_failed);
  }
  SECTION("who goes in the middle") {
    Bench bench({});
    bench.choose(kNone);
    bench.client.reset();
    CHECK(bench.outcome().end == Relay::End::tls_failed);
  }
  // None of them has been seen by libvncserver: it would have closed, or said something.
}

TEST_CASE("certificates that are none are named, and a key can be forgotten") {
  const TlsFiles files = make_files();
  const auto loaded = TlsCredentials::load(files, false);
  REQUIRE(loaded);
  TlsFiles no_ca = files;
  no_ca.ca.text = "nothing";
  CHECK(TlsCredentials::load(no_ca, false).error().message.find("ca.pem holds no certificate") == 0);
  TlsFiles other_key = files;
  other_key.key = make_files().key;
  CHECK(TlsCredentials::load(other_key, false).error().message.find("cert.pem and key.pem") == 0);
  TlsFiles no_key = files;
  no_key.key.text.clear();
  CHECK(!TlsCredentials::load(no_key, false));
  (*loaded)->forget();
  (*loaded)->forget();
  CHECK(read_tls_folder("/nonexistent").error().message.find("/nonexistent/ca-cert.pem") == 0);
  CHECK(read_tls_descriptors({-1, -1, -1}).error().message.find("the authority's certificate") == 0);
}

}  // namespace lodge::vnc
