// The saved state of the generation ID device.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct VmGenIdState {
  std::array<uint8_t, 16> id{};  // as it lies in the guest's memory
  uint64_t address = 0;          // where it lies; 0: nowhere yet
  bool untold = false;           // it changed, and the guest has not been told
  friend bool operator==(const VmGenIdState&, const VmGenIdState&) = default;
};

template <>
struct Schema<VmGenIdState> {
  using S = VmGenIdState;
  static constexpr std::string_view name = "vmgenid";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "id", &S::id), field(2, "address", &S::address), field(3, "untold", &S::untold)};
};

}  // namespace lodge
