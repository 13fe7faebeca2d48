#include "vmm/vnc/access.h"

#include <rfb/rfb.h>

namespace lodge::vnc {

static_assert(kChallengeBytes == CHALLENGESIZE);

bool lets_in(const Access& access, const Challenge& challenge, std::span<const uint8_t> response, int64_t now) {
  const bool late = access.expires != 0 && now >= access.expires;
  if (access.kind != Access::Kind::password || late || response.size() != challenge.size()) {
    return false;
  }
  Challenge wanted = challenge;
  std::string password = access.password;
  rfbEncryptBytes(wanted.data(), password.data());
  unsigned difference = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference |= static_cast<unsigned>(wanted[i] ^ response[i]);
  }
  return difference == 0;
}

void prepare_ciphers() {
  Challenge bytes{};
  std::string password = "password";
  rfbEncryptBytes(bytes.data(), password.data());
  rfbRandomBytes(bytes.data());  // seeds once, with the time
}

}  // namespace lodge::vnc
