// Nic: what the machine asks of every network card, whatever the guest sees.
#pragma once

#include <array>
#include <cstdint>

#include "devices/net/backend.h"

namespace lodge {

namespace net {
using MacAddress = std::array<uint8_t, 6>;
}  // namespace net

// Control thread.
class Nic {
 public:
  virtual ~Nic() = default;
  [[nodiscard]] virtual net::MacAddress mac() const = 0;
  [[nodiscard]] virtual bool link_up() const = 0;
  // The cable is plugged or pulled.
  virtual void set_link(bool up) = 0;
  // Asks the driver to make its addresses known to the network (after migration), if it can.
  virtual void announce() {}
  [[nodiscard]] virtual const NetPort& port() const = 0;
};

}  // namespace lodge
