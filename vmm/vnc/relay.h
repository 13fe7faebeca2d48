// Relay: the whole of what a client's TLS process does: RFB's handshake as far as the security result, TLS, and then the
// client's bytes to the process with libvncserver and back, which sees a client without a password.
//
// Blocks in poll(); the server's process has the limit of time. At most kBuffer bytes wait in each direction: an end that
// does not read is not read for either.
#pragma once

#include "vmm/vnc/security_handshake.h"
#include "vmm/vnc/tls_stream.h"

namespace lodge::vnc {

class Relay {
 public:
  enum class End : uint8_t { closed, no_rfb, no_tls, tls_failed, certificate, password };
  struct Outcome {
    End end = End::closed;
    std::string detail;  // for developers
  };
  // Neither socket may block; both stay the caller's. `challenge`: random.
  Relay(int client, int inner, const TlsCredentials& credentials, Access access, const Challenge& challenge)
      : client_(client), inner_(inner), stream_(client, credentials), security_(std::move(access), challenge) {}

  [[nodiscard]] Outcome run();

 private:
  static constexpr size_t kBuffer = 32768;
  struct Buffer {
    std::array<uint8_t, kBuffer> bytes;
    size_t begin = 0;
    size_t end = 0;
    [[nodiscard]] bool empty() const { return begin == end; }
    [[nodiscard]] std::span<const uint8_t> rest() const { return std::span(bytes).subspan(begin, end - begin); }
  };
  // What a step of the data's way has come to.
  struct Step {
    bool moved = false;
    bool over = false;
    short client_event = 0;  // that it waits for
    short inner_event = 0;
  };
  [[nodiscard]] Outcome secure();
  [[nodiscard]] Result<void> start_tls();
  [[nodiscard]] Result<void> send(std::span<const uint8_t> bytes);
  [[nodiscard]] Result<void> receive(std::span<uint8_t> bytes);
  [[nodiscard]] Result<void> enter_inner();
  [[nodiscard]] Result<void> pump();
  [[nodiscard]] Result<Step> upwards();    // from the client
  [[nodiscard]] Result<Step> downwards();  // to the client

  int client_;
  int inner_;
  TlsStream stream_;
  SecurityHandshake security_;
  Buffer up_;
  Buffer down_;
};

}  // namespace lodge::vnc
