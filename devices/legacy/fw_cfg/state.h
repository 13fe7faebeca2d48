// The saved state of the firmware configuration device. What it offers is made anew from the configuration.
#pragma once

#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct FwCfgState {
  uint16_t selected = 0;
  uint32_t offset = 0;
  uint32_t dma_high = 0;  // of the address whose lower half starts a transfer
  friend bool operator==(const FwCfgState&, const FwCfgState&) = default;
};

template <>
struct Schema<FwCfgState> {
  using S = FwCfgState;
  static constexpr std::string_view name = "fw-cfg";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "selected", &S::selected), field(2, "offset", &S::offset), field(3, "dma-high", &S::dma_high)};
};

}  // namespace lodge
