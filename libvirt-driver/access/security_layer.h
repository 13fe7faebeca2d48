// SecurityLayer: encryption of all further bytes that a login has agreed on. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace lodge::access {

class SecurityLayer {
 public:
  virtual ~SecurityLayer() = default;
  [[nodiscard]] virtual Result<std::vector<uint8_t>> encode(std::span<const uint8_t> bytes) = 0;
  // What can be decoded so far; a part of a packet waits for its rest. Error: the bytes are not what the client sent.
  [[nodiscard]] virtual Result<std::vector<uint8_t>> decode(std::span<const uint8_t> bytes) = 0;
};

}  // namespace lodge::access
