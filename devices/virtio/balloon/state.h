// The saved state of a memory balloon.
#pragma once

#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct BalloonState {
  uint32_t target = 0;  // pages of 4 KiB the guest is asked to give
  uint32_t actual = 0;  // and says it gave
  uint32_t stats_period_ms = 0;
};

template <>
struct Schema<BalloonState> {
  static constexpr std::string_view name = "virtio-balloon";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "target", &BalloonState::target), field(2, "actual", &BalloonState::actual),
                 field(3, "stats-period-ms", &BalloonState::stats_period_ms)};
};

}  // namespace lodge
