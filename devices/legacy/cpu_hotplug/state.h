// The saved state of CpuHotplug: what the guest has not been told yet, and what it was asked for.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct CpuHotplugState {
  uint32_t selected = 0;
  uint32_t event = 0;
  std::vector<uint32_t> came;      // processors whose coming is news
  std::vector<uint32_t> to_leave;  // whose request is news
  std::vector<uint32_t> leaving;   // that were asked to go and have not
  friend bool operator==(const CpuHotplugState&, const CpuHotplugState&) = default;
};

template <>
struct Schema<CpuHotplugState> {
  static constexpr std::string_view name = "cpu-hotplug";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "selected", &CpuHotplugState::selected), field(2, "event", &CpuHotplugState::event),
                 field(3, "came", &CpuHotplugState::came), field(4, "to-leave", &CpuHotplugState::to_leave),
                 field(5, "leaving", &CpuHotplugState::leaving)};
};

}  // namespace lodge
