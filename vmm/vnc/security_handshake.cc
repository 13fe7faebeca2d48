#include "vmm/vnc/security_handshake.h"

namespace lodge::vnc {
namespace {

constexpr std::string_view kVersion = "RFB 003.008\n";
constexpr uint8_t kVeNCrypt = 19;
constexpr uint32_t kX509None = 260;
constexpr uint32_t kX509Vnc = 261;
constexpr uint32_t kOk = 0;
constexpr uint32_t kFailed = 1;
constexpr std::string_view kNeedsTls =
    "This server speaks TLS only: use a client that knows VeNCrypt with X.509 certificates";

// 3008 for "RFB 003.008\n"; 0: no version.
uint32_t version_number(std::span<const uint8_t> bytes) {
  uint32_t number = 0;
  for (size_t i = 0; i < kVersion.size(); ++i) {
    const bool digit = kVersion[i] >= '0' && kVersion[i] <= '9';
    if (digit && bytes[i] >= '0' && bytes[i] <= '9') {
      number = number * 10 + (bytes[i] - '0');
    } else if (digit || bytes[i] != static_cast<uint8_t>(kVersion[i])) {
      return 0;
    }
  }
  return number;
}

}  // namespace

SecurityHandshake::SecurityHandshake(Access access, const Challenge& challenge)
    : access_(std::move(access)), challenge_(challenge), output_(kVersion.begin(), kVersion.end()) {}

uint32_t SecurityHandshake::subtype() const { return access_.kind == Access::Kind::open ? kX509None : kX509Vnc; }

size_t SecurityHandshake::wants() const {
  if (state_ != State::reads) {
    return 0;
  }
  switch (step_) {
    case Step::version: return kVersion.size();
    case Step::type: return 1;
    case Step::vencrypt_version: return 2;
    case Step::subtype: return sizeof(uint32_t);
    case Step::response: break;
  }
  return kChallengeBytes;
}

void SecurityHandshake::take(std::span<const uint8_t> bytes, int64_t now) {
  if (state_ != State::reads || bytes.size() != wants()) {
    return;
  }
  switch (step_) {
    case Step::version: take_version(bytes); break;
    case Step::type:
      if (bytes[0] != kVeNCrypt) {
        refuse_result(Refusal::no_tls, kNeedsTls);
        break;
      }
      say(0);
      say(2);
      next(Step::vencrypt_version);
      break;
    case Step::vencrypt_version:
      if (bytes[0] != 0 || bytes[1] != 2) {
        say(0xFF);  // not that one
        refuse(Refusal::no_tls);
        break;
      }
      say(0);
      say(1);  // subtype
      say_number(subtype());
      next(Step::subtype);
      break;
    case Step::subtype: {
      const uint32_t chosen = uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
      say(chosen == subtype() ? 1 : 0);
      if (chosen == subtype()) {
        state_ = State::starts_tls;
      } else {
        refuse(Refusal::no_tls);
      }
      break;
    }
    case Step::response:
      if (!lets_in(access_, challenge_, bytes, now)) {
        refuse_result(Refusal::password, "Authentication failed");
        break;
      }
      say_number(kOk);
      state_ = State::done;
      break;
  }
}

void SecurityHandshake::take_version(std::span<const uint8_t> bytes) {
  const uint32_t version = version_number(bytes);
  if (version < 3003) {
    refuse(Refusal::no_rfb);
  } else if (version < 3007) {  // 3.3: the server chooses, and has nothing that such clients know
    say_number(0);
    say_text(kNeedsTls);
    refuse(Refusal::no_tls);
  } else {
    tells_reasons_ = version > 3007;
    say(1);  // type
    say(kVeNCrypt);
    next(Step::type);
  }
}

void SecurityHandshake::tls_established() {
  if (state_ != State::starts_tls) {
    return;
  }
  if (access_.kind == Access::Kind::open) {
    say_number(kOk);
    state_ = State::done;
    return;
  }
  output_.insert(output_.end(), challenge_.begin(), challenge_.end());
  state_ = State::reads;
  next(Step::response);
}

void SecurityHandshake::say_number(uint32_t number) {
  for (const int shift : {24, 16, 8, 0}) {
    say(static_cast<uint8_t>(number >> shift));
  }
}

void SecurityHandshake::say_text(std::string_view text) {
  say_number(static_cast<uint32_t>(text.size()));
  output_.insert(output_.end(), text.begin(), text.end());
}

void SecurityHandshake::refuse_result(Refusal why, std::string_view text) {
  say_number(kFailed);
  if (tells_reasons_) {
    say_text(text);
  }
  refuse(why);
}

}  // namespace lodge::vnc
