// Who may come in: what a client process is told of passwords, and VNC authentication's answer (RFC 6143, section 7.2.2).
// Pure; any process.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace lodge::vnc {

struct Access {
  enum class Kind : uint8_t { open, password, nobody };
  Kind kind = Kind::open;
  std::string password;
  int64_t expires = 0;  // seconds since the epoch; 0: never
};

inline constexpr size_t kChallengeBytes = 16;
using Challenge = std::array<uint8_t, kChallengeBytes>;

// Whether this is what somebody who knows the password answers to the challenge. `now`: seconds since the epoch.
[[nodiscard]] bool lets_in(const Access& access, const Challenge& challenge, std::span<const uint8_t> response, int64_t now);

// The library's first use of its ciphers reads files: once, before any filter.
void prepare_ciphers();

}  // namespace lodge::vnc
