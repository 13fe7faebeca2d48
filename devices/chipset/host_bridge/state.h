// The saved state of the 440FX host bridge: what firmware chose to see between 640 KiB and 1 MiB.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct HostBridgeState {
  std::array<uint8_t, 7> pam{};  // registers 0x59 to 0x5F
  uint8_t smram = 0x02;          // register 0x72
  uint16_t command = 0;
  friend bool operator==(const HostBridgeState&, const HostBridgeState&) = default;
};

template <>
struct Schema<HostBridgeState> {
  using S = HostBridgeState;
  static constexpr std::string_view name = "host-bridge";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "pam", &S::pam), field(2, "smram", &S::smram), field(3, "command", &S::command)};
};

}  // namespace lodge
