// The saved state of the PIIX4 power management function.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct FixedPowerState {
  uint16_t status = 0;
  uint16_t enable = 0;
  uint16_t control = 0;
  std::array<uint8_t, 4> gpe{};
  uint64_t timer_nanoseconds = 0;
  // Of the PCI function. The defaults are what there was before it could be changed.
  uint16_t pm_base = 0x600;
  bool pm_enabled = true;
  uint16_t smbus_base = 0;
  uint8_t smbus_config = 0;
  uint16_t command = 0;
  uint8_t interrupt_line = 0;
  std::array<uint8_t, 2> apm{};  // ports 0xB2 and 0xB3
  friend bool operator==(const FixedPowerState&, const FixedPowerState&) = default;
};

template <>
struct Schema<FixedPowerState> {
  using S = FixedPowerState;
  static constexpr std::string_view name = "fixed-power";
  static constexpr uint16_t version = 2;
  static constexpr auto fields = std::tuple{
      field(1, "status", &S::status), field(2, "enable", &S::enable), field(3, "control", &S::control),
      field(4, "gpe", &S::gpe), field(5, "timer-nanoseconds", &S::timer_nanoseconds),
      // Since version 2:
      field(6, "pm-base", &S::pm_base), field(7, "pm-enabled", &S::pm_enabled), field(8, "smbus-base", &S::smbus_base),
      field(9, "smbus-config", &S::smbus_config), field(10, "command", &S::command),
      field(11, "interrupt-line", &S::interrupt_line), field(12, "apm", &S::apm)};
};

}  // namespace lodge
