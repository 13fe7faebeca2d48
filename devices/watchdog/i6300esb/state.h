// The saved state of the watchdog of the Intel 6300ESB.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct I6300EsbState {
  std::array<uint32_t, 2> preload{0xFFFFF, 0xFFFFF};
  uint8_t stage = 1;       // the one that is counted down, 1 or 2
  uint8_t unlock = 0;      // steps of the unlocking sequence that were done, 0 to 2
  bool interrupt = false;  // the first stage ended
  bool timed_out = false;  // the second one did; outlives a reset, so that the next start can tell
  uint16_t config = 0;     // register 60h of the configuration space
  uint8_t lock = 0;        // register 68h
  uint64_t left_ns = 0;    // of this stage; 0: it does not count
  friend bool operator==(const I6300EsbState&, const I6300EsbState&) = default;
};

template <>
struct Schema<I6300EsbState> {
  using S = I6300EsbState;
  static constexpr std::string_view name = "i6300esb";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "preload", &S::preload),     field(2, "stage", &S::stage),         field(3, "unlock", &S::unlock),
                 field(4, "interrupt", &S::interrupt), field(5, "timed-out", &S::timed_out), field(6, "config", &S::config),
                 field(7, "lock", &S::lock),           field(8, "left-ns", &S::left_ns)};
};

}  // namespace lodge
