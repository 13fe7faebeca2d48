// The saved state of the vmcoreinfo file.
#pragma once

#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

// The file's fields, as they stand in it.
struct VmCoreInfoState {
  uint16_t host_format = 1;
  uint16_t guest_format = 0;
  uint32_t size = 0;
  uint64_t address = 0;
  friend bool operator==(const VmCoreInfoState&, const VmCoreInfoState&) = default;
};

template <>
struct Schema<VmCoreInfoState> {
  using S = VmCoreInfoState;
  static constexpr std::string_view name = "vmcoreinfo";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "host-format", &S::host_format), field(2, "guest-format", &S::guest_format),
                 field(3, "size", &S::size), field(4, "address", &S::address)};
};

}  // namespace lodge
