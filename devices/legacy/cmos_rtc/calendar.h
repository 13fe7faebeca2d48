// The clock's time as its registers hold it: BCD or binary, twelve or twenty-four hours, a century byte (MC146818A data
// sheet, "Time, calendar and alarm locations"). Pure functions; times are seconds since 1970 of the guest's own clock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace lodge::cmos {

using Ram = std::array<uint8_t, 128>;

inline constexpr uint8_t kSeconds = 0x00;
inline constexpr uint8_t kSecondsAlarm = 0x01;
inline constexpr uint8_t kMinutes = 0x02;
inline constexpr uint8_t kMinutesAlarm = 0x03;
inline constexpr uint8_t kHours = 0x04;
inline constexpr uint8_t kHoursAlarm = 0x05;
inline constexpr uint8_t kWeekday = 0x06;
inline constexpr uint8_t kDay = 0x07;
inline constexpr uint8_t kMonth = 0x08;
inline constexpr uint8_t kYear = 0x09;
inline constexpr uint8_t kStatusA = 0x0A;
inline constexpr uint8_t kStatusB = 0x0B;
inline constexpr uint8_t kStatusC = 0x0C;
inline constexpr uint8_t kStatusD = 0x0D;
inline constexpr uint8_t kCentury = 0x32;  // of PCs, not of the chip

inline constexpr uint8_t kBinary = 0x04;              // status B: values are binary, not BCD
inline constexpr uint8_t k24Hours = 0x02;             // status B
inline constexpr int64_t kLastSecond = 253402300799;  // of the year 9999

// The registers that hold the time.
[[nodiscard]] bool is_time(uint8_t index);
// `when` into the registers; before 1970 and after 9999 it stands still.
void load_time(Ram& ram, int64_t when);
// What the registers say. Fields out of range are carried over, as a chain of counters would.
[[nodiscard]] int64_t stored_time(const Ram& ram);
// The first second after `after` at which the alarm registers agree with the time; none if they name no time of day.
[[nodiscard]] std::optional<int64_t> next_alarm(const Ram& ram, int64_t after);

}  // namespace lodge::cmos
