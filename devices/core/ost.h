// What a guest says by _OST of a request to let a device go (ACPI 6.5 section 6.3.5, tables 6.19 and 6.20).
#pragma once

#include <cstdint>

namespace lodge::ost {

inline constexpr uint32_t kEjectRequest = 0x03;  // the event: an ejection that the system was asked for

// The words for "no"; others say that it is under way or done.
[[nodiscard]] constexpr bool means_no(uint32_t status) {
  constexpr uint32_t kFailed = 0x01;
  constexpr uint32_t kNotUnderstood = 0x02;
  constexpr uint32_t kLocked = 0x80;
  constexpr uint32_t kInUse = 0x81;
  constexpr uint32_t kDependencyBusy = 0x82;
  return status == kFailed || status == kNotUnderstood || status == kLocked || status == kInUse || status == kDependencyBusy;
}

}  // namespace lodge::ost
