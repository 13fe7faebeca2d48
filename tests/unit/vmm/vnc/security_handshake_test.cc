#include "vmm/vnc/security_handshake.h"

#include <catch2/catch.hpp>

#include <string>

namespace lodge::vnc {
namespace {

using namespace std::string_literals;
using State = SecurityHandshake::State;
using Refusal = SecurityHandshake::Refusal;

constexpr int64_t kNow = 1'000'000;
const Challenge kChallenge{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
// DES of the challenge with "secret", whose bits are the other way round, by another program (openssl enc -des-ecb).
const std::string kAnswer =
    "\xf6"
    "\x73"
    "\xf0"
    "\x48"
    "\x0e"
    "\x26"
    "\x6b"
    "\x44"
    "\x50"
    "\x69"
    "\x89"
    "\x35"
    "\x44"
    "\x79"
    "\xbd"
    "\x95"s;

std::string said(SecurityHandshake& handshake) {
  const auto bytes = handshake.output();
  return {bytes.begin(), bytes.end()};
}

// Gives it all bytes, as much at a time as it wants; what it said meanwhile.
std::string give(SecurityHandshake& handshake, const std::string& bytes, int64_t now = kNow) {
  size_t at = 0;
  std::string all = said(handshake);
  while (at < bytes.size()) {
    const size_t wanted = handshake.wants();
    REQUIRE((wanted > 0 && wanted <= SecurityHandshake::kMostWanted && at + wanted <= bytes.size()));
    const std::string part = bytes.substr(at, wanted);
    handshake.take({reinterpret_cast<const uint8_t*>(part.data()), part.size()}, now);
    at += wanted;
    all += said(handshake);
  }
  return all;
}

SecurityHandshake handshake_for(Access::Kind kind, int64_t expires = 0) {
  return {{.kind = kind, .password = "secret", .expires = expires}, kChallenge};
}

const std::string kToSubtype = "RFB 003.008\n\x13\0\2"s;

SecurityHandshake in_tls(Access::Kind kind, int64_t expires = 0) {
  auto handshake = handshake_for(kind, expires);
  (void)give(handshake, kToSubtype + "\0\0\1"s + (kind == Access::Kind::open ? "\x04" : "\x05"));
  REQUIRE(handshake.state() == State::starts_tls);
  REQUIRE(handshake.wants() == 0);
  handshake.tls_established();
  return handshake;
}

void is_refused(SecurityHandshake& handshake, Refusal why) {
  CHECK(handshake.state() == State::refused);
  CHECK(handshake.refusal() == why);
  CHECK(handshake.wants() == 0);
}

}  // namespace

TEST_CASE("VeNCrypt is offered alone, with X509None where there is no password") {
  auto handshake = handshake_for(Access::Kind::open);
  CHECK(give(handshake, kToSubtype + "\0\0\1\x04"s) == "RFB 003.008\n\1\x13\0\2\0\1\0\0\1\x04\1"s);
  CHECK(handshake.state() == State::starts_tls);
  handshake.tls_established();
  CHECK(said(handshake) == "\0\0\0\0"s);
  CHECK(handshake.state() == State::done);
  CHECK(handshake.wants() == 0);
}

TEST_CASE("a password is asked for in TLS") {
  auto handshake = handshake_for(Access::Kind::password);
  CHECK(give(handshake, kToSubtype).ends_with("\0\1\0\0\1\x05"s));
  auto right = in_tls(Access::Kind::password);
  CHECK(said(right) == std::string(kChallenge.begin(), kChallenge.end()));
  CHECK(give(right, kAnswer) == "\0\0\0\0"s);
  CHECK(right.state() == State::done);
  for (const auto& [kind, answer, expires] :
       {std::tuple{Access::Kind::password, std::string(16, '\0'), int64_t{0}},
        std::tuple{Access::Kind::password, kAnswer, kNow}, std::tuple{Access::Kind::nobody, kAnswer, int64_t{0}}}) {
    auto wrong = in_tls(kind, expires);
    (void)said(wrong);
    CHECK(give(wrong, answer) ==
          "\0\0\0\1\0\0\0\x15"
          "Authentication failed"s);
    is_refused(wrong, Refusal::password);
  }
  auto in_time = in_tls(Access::Kind::password, kNow + 1);
  (void)give(in_time, kAnswer);
  CHECK(in_time.state() == State::done);
}

TEST_CASE("clients without VeNCrypt are told so, as their version has it") {
  auto old = handshake_for(Access::Kind::open);
  CHECK(give(old, "RFB 003.003\n").find("TLS only") != std::string::npos);
  is_refused(old, Refusal::no_tls);
  auto plain = handshake_for(Access::Kind::open);
  CHECK(give(plain, "RFB 003.008\n\1").find("TLS only") != std::string::npos);
  is_refused(plain, Refusal::no_tls);
  auto quiet = handshake_for(Access::Kind::open);
  CHECK(give(quiet, "RFB 003.007\n\2").ends_with("\0\0\0\1"s));
  is_refused(quiet, Refusal::no_tls);
  auto other = handshake_for(Access::Kind::open);
  CHECK(give(other, "RFB 003.008\n\x13\0\1"s).ends_with('\xff'));
  is_refused(other, Refusal::no_tls);
  for (const auto& subtype : {"\0\0\1\x05"s, "\0\0\1\1"s, "\xff\xff\xff\xff"s}) {
    auto wrong = handshake_for(Access::Kind::open);
    CHECK(give(wrong, kToSubtype + subtype).ends_with('\0'));
    is_refused(wrong, Refusal::no_tls);
  }
}

TEST_CASE("what is no RFB is not answered, and bytes out of turn change nothing") {
  for (const auto* words :
       {"GET / HTTP/1.", "\x16\x03\x01\x02\1\1\1\1\1\1\1\1", "RFB 003.002\n", "RFB 00x.008\n", "RFB 003,008\n"}) {
    auto handshake = handshake_for(Access::Kind::open);
    CHECK(give(handshake, std::string(words).substr(0, 12)) == "RFB 003.008\n");
    is_refused(handshake, Refusal::no_rfb);
  }
  auto handshake = handshake_for(Access::Kind::password);
  handshake.tls_established();
  CHECK(handshake.state() == State::reads);
  (void)give(handshake, kToSubtype + "\0\0\1\x05"s);
  const std::array<uint8_t, 4> more{};
  handshake.take(more, kNow);
  CHECK(handshake.state() == State::starts_tls);
}

}  // namespace lodge::vnc
