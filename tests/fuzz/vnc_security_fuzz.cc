// RFB's handshake with VeNCrypt: a client's bytes before TLS and, for the password, in it. What it wants is bounded, it
// comes to an end, nobody comes in without TLS or without the password, and what is sent stays small.
#include <cstdlib>
#include <span>

#include "vmm/vnc/security_handshake.h"

namespace {

using namespace lodge::vnc;
using State = SecurityHandshake::State;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

}  // namespace

// The first byte: who may come in. Then the client's bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kMostSteps = 8;
  constexpr size_t kMostOutput = 200;
  if (size == 0) {
    return 0;
  }
  const auto kind = static_cast<Access::Kind>(data[0] % 3);
  std::span rest(data + 1, size - 1);
  const Challenge challenge{1, 2, 3};
  const Access access{.kind = kind, .password = "secret", .expires = data[0] >= 128 ? 99 : 0};
  SecurityHandshake handshake(access, challenge);
  bool tls = false;
  std::span<const uint8_t> last;
  int steps = 0;
  while (handshake.state() == State::reads || handshake.state() == State::starts_tls) {
    require(++steps <= kMostSteps);
    require(handshake.output().size() <= kMostOutput);
    if (handshake.state() == State::starts_tls) {
      require(!tls && handshake.wants() == 0);
      tls = true;
      handshake.tls_established();
      continue;
    }
    const size_t wanted = handshake.wants();
    require(wanted >= 1 && wanted <= SecurityHandshake::kMostWanted);
    if (rest.size() < wanted) {
      return 0;
    }
    last = rest.first(wanted);
    handshake.take(last, 100);
    rest = rest.subspan(wanted);
  }
  require(handshake.output().size() <= kMostOutput && handshake.wants() == 0);
  if (handshake.state() == State::done) {
    require(tls && (kind == Access::Kind::open || lets_in(access, challenge, last, 100)));
  } else {
    require(handshake.refusal() != SecurityHandshake::Refusal::none);
  }
  return 0;
}
