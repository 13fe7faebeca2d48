// The saved state of the CMOS clock: its RAM, the distance of the guest's clock from the host's, and what has happened that
// the guest has not been told.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct CmosRtcState {
  uint8_t index = 0;
  std::array<uint8_t, 128> ram{};
  int64_t offset_seconds = 0;  // guest time minus host UTC
  uint8_t flags = 0;           // of status C
  friend bool operator==(const CmosRtcState&, const CmosRtcState&) = default;
};

template <>
struct Schema<CmosRtcState> {
  using S = CmosRtcState;
  static constexpr std::string_view name = "cmos-rtc";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "index", &S::index), field(2, "ram", &S::ram),
                                            field(3, "offset-seconds", &S::offset_seconds), field(4, "flags", &S::flags)};
};

}  // namespace lodge
