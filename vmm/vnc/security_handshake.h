// SecurityHandshake: the server's side of RFB's handshake as far as the security result, with one security type, VeNCrypt
// 0.2 (19), and in it one subtype: X509None (260), or X509Vnc (261) where there is a password. RFC 6143, section 7.1; for
// VeNCrypt the RFB protocol as its community writes it down, section "VeNCrypt".
//
// It knows no socket: whoever drives it reads exactly what it wants, so nothing that came in clear is ever taken for
// something that came over TLS. Strangers' bytes are checked here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/vnc/access.h"

namespace lodge::vnc {

class SecurityHandshake {
 public:
  enum class State : uint8_t {
    reads,       // the client's next bytes: wants() of them
    starts_tls,  // send output(), make the connection one of TLS, say tls_established()
    done,        // send output(); ClientInit comes next
    refused,     // send output(), and close
  };
  enum class Refusal : uint8_t { none, no_rfb, no_tls, password };
  static constexpr size_t kMostWanted = kChallengeBytes;

  // `challenge`: random, and not used again.
  SecurityHandshake(Access access, const Challenge& challenge);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] Refusal refusal() const { return refusal_; }
  // Bytes, at least 1 while it reads, else 0.
  [[nodiscard]] size_t wants() const;
  // So many bytes. `now`: seconds since the epoch.
  void take(std::span<const uint8_t> bytes, int64_t now);
  void tls_established();
  // What is to be sent to the client, once.
  [[nodiscard]] std::vector<uint8_t> output() { return std::exchange(output_, {}); }

 private:
  enum class Step : uint8_t { version, type, vencrypt_version, subtype, response };
  void take_version(std::span<const uint8_t> bytes);
  void say(uint8_t byte) { output_.push_back(byte); }
  void say_number(uint32_t number);
  void say_text(std::string_view text);
  void next(Step step) { step_ = step; }
  void refuse(Refusal why) {
    state_ = State::refused;
    refusal_ = why;
  }
  // With the security result.
  void refuse_result(Refusal why, std::string_view text);
  [[nodiscard]] uint32_t subtype() const;

  Access access_;
  Challenge challenge_;
  State state_ = State::reads;
  Refusal refusal_ = Refusal::none;
  Step step_ = Step::version;
  bool tells_reasons_ = false;  // RFB 3.8
  std::vector<uint8_t> output_;
};

}  // namespace lodge::vnc
