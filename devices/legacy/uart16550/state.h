// The saved state of a 16550 UART: its registers, and bytes on their way.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct Uart16550State {
  uint8_t ier = 0;
  uint8_t lcr = 0;
  uint8_t mcr = 0;
  uint8_t scratch = 0;
  uint8_t fcr = 0;
  uint16_t divisor = 1;
  bool overrun = false;
  bool thre_pending = false;
  std::vector<uint8_t> receive;   // not yet read by the guest
  std::vector<uint8_t> transmit;  // not yet taken by the other side
  friend bool operator==(const Uart16550State&, const Uart16550State&) = default;
};

template <>
struct Schema<Uart16550State> {
  using S = Uart16550State;
  static constexpr std::string_view name = "uart16550";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "ier", &S::ier),         field(2, "lcr", &S::lcr),
                                            field(3, "mcr", &S::mcr),         field(4, "scratch", &S::scratch),
                                            field(5, "fcr", &S::fcr),         field(6, "divisor", &S::divisor),
                                            field(7, "overrun", &S::overrun), field(8, "thre-pending", &S::thre_pending),
                                            field(9, "receive", &S::receive), field(10, "transmit", &S::transmit)};
};

}  // namespace lodge
