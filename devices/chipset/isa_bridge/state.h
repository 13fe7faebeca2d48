// The saved state of the PIIX3 ISA bridge.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct IsaBridgeState {
  std::array<uint8_t, 4> routes{0x80, 0x80, 0x80, 0x80};  // registers 0x60 to 0x63
  std::array<uint8_t, 2> bios_select{0x03, 0x00};         // 0x4E
  uint8_t recovery = 0x4D;                                // 0x4C
  uint8_t port92 = 0x02;                                  // A20 is on
  uint16_t command = 0;
  friend bool operator==(const IsaBridgeState&, const IsaBridgeState&) = default;
};

template <>
struct Schema<IsaBridgeState> {
  using S = IsaBridgeState;
  static constexpr std::string_view name = "isa-bridge";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "routes", &S::routes), field(2, "bios-select", &S::bios_select),
                 field(3, "recovery", &S::recovery), field(4, "port92", &S::port92), field(5, "command", &S::command)};
};

}  // namespace lodge
