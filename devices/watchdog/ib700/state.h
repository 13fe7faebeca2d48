// The saved state of the iBASE IB700's watchdog.
#pragma once

#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct Ib700State {
  uint64_t left_ns = 0;  // 0: it does not count
  friend bool operator==(const Ib700State&, const Ib700State&) = default;
};

template <>
struct Schema<Ib700State> {
  static constexpr std::string_view name = "ib700";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "left-ns", &Ib700State::left_ns)};
};

}  // namespace lodge
