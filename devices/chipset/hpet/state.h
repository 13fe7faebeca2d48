// The saved state of the high precision event timer.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct HpetTimerState {
  uint64_t config = 0;               // what the guest can write of the register
  uint64_t comparator = UINT64_MAX;  // counts on in periodic mode
  uint64_t period = 0;               // what was last written to it, then
  friend bool operator==(const HpetTimerState&, const HpetTimerState&) = default;
};

struct HpetState {
  uint64_t config = 0;
  uint64_t status = 0;
  uint64_t counter = 0;
  std::vector<HpetTimerState> timers;
  friend bool operator==(const HpetState&, const HpetState&) = default;
};

template <>
struct Schema<HpetTimerState> {
  using S = HpetTimerState;
  static constexpr std::string_view name = "hpet-timer";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "config", &S::config), field(2, "comparator", &S::comparator), field(3, "period", &S::period)};
};

template <>
struct Schema<HpetState> {
  using S = HpetState;
  static constexpr std::string_view name = "hpet";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "config", &S::config), field(2, "status", &S::status),
                                            field(3, "counter", &S::counter), field(4, "timers", &S::timers)};
};

}  // namespace lodge
