// The saved state of a virtio entropy source: what is left of its budget.
#pragma once

#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct RngState {
  uint64_t budget = 0;  // bytes that may still be given in the current period
};

template <>
struct Schema<RngState> {
  static constexpr std::string_view name = "virtio-rng";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "budget", &RngState::budget)};
};

}  // namespace lodge
