// The saved state of a parallel port.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct ParallelState {
  uint8_t data = 0;
  uint8_t control = 0;
  bool acknowledges = false;      // the next look at the status shows the printer's acknowledgement
  bool owes = false;              // it has taken a byte and not acknowledged it yet
  std::vector<uint8_t> transmit;  // not taken by the other side yet
  friend bool operator==(const ParallelState&, const ParallelState&) = default;
};

template <>
struct Schema<ParallelState> {
  using S = ParallelState;
  static constexpr std::string_view name = "parallel";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "data", &S::data), field(2, "control", &S::control), field(3, "acknowledges", &S::acknowledges),
                 field(4, "owes", &S::owes), field(5, "transmit", &S::transmit)};
};

}  // namespace lodge
