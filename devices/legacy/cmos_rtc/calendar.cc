#include "devices/legacy/cmos_rtc/calendar.h"

#include <algorithm>
#include <ctime>

namespace lodge::cmos {
namespace {

constexpr uint8_t kAfternoon = 0x80;
constexpr uint8_t kAnyValue = 0xC0;  // an alarm register from here on agrees with every value
constexpr int64_t kDaySeconds = 86400;

uint8_t encode(const Ram& ram, int value) {
  return static_cast<uint8_t>((ram[kStatusB] & kBinary) != 0 ? value : value / 10 * 16 + value % 10);
}

int decode(const Ram& ram, uint8_t value) {
  return (ram[kStatusB] & kBinary) != 0 ? value : (value >> 4) * 10 + (value & 15);
}

int decode_hours(const Ram& ram, uint8_t value) {
  if ((ram[kStatusB] & k24Hours) != 0) {
    return decode(ram, value);
  }
  return decode(ram, value & 0x7F) % 12 + ((value & kAfternoon) != 0 ? 12 : 0);
}

// The values of one field that the alarm agrees with: one, or all.
struct Wanted {
  int value = 0;
  bool any = false;
  // The first of them that is not before `from`; `limit` and more: none.
  [[nodiscard]] int first(int from, int limit) const {
    if (any) {
      return from;
    }
    return value >= from ? value : limit;
  }
};

}  // namespace

bool is_time(uint8_t index) {
  return index == kSeconds || index == kMinutes || index == kHours || (index >= kWeekday && index <= kYear) ||
         index == kCentury;
}

void load_time(Ram& ram, int64_t when) {
  const auto seconds = static_cast<time_t>(std::clamp<int64_t>(when, 0, kLastSecond));
  tm t{};
  ::gmtime_r(&seconds, &t);
  ram[kSeconds] = encode(ram, t.tm_sec);
  ram[kMinutes] = encode(ram, t.tm_min);
  if ((ram[kStatusB] & k24Hours) != 0) {
    ram[kHours] = encode(ram, t.tm_hour);
  } else {
    const int twelve = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
    ram[kHours] = static_cast<uint8_t>(encode(ram, twelve) | (t.tm_hour >= 12 ? kAfternoon : 0));
  }
  ram[kWeekday] = encode(ram, t.tm_wday + 1);
  ram[kDay] = encode(ram, t.tm_mday);
  ram[kMonth] = encode(ram, t.tm_mon + 1);
  ram[kYear] = encode(ram, (t.tm_year + 1900) % 100);
  ram[kCentury] = encode(ram, (t.tm_year + 1900) / 100);
}

int64_t stored_time(const Ram& ram) {
  tm t{};
  t.tm_sec = decode(ram, ram[kSeconds]);
  t.tm_min = decode(ram, ram[kMinutes]);
  t.tm_hour = decode_hours(ram, ram[kHours]);
  t.tm_mday = decode(ram, ram[kDay]);
  t.tm_mon = decode(ram, ram[kMonth]) - 1;
  t.tm_year = decode(ram, ram[kCentury]) * 100 + decode(ram, ram[kYear]) - 1900;
  return static_cast<int64_t>(::timegm(&t));
}

std::optional<int64_t> next_alarm(const Ram& ram, int64_t after) {
  const auto wanted = [](uint8_t raw, int value) { return Wanted{value, raw >= kAnyValue}; };
  // In BCD with twelve hours 0x81 to 0x92 are the afternoon: only values from 0xC0 on are "any", there as everywhere.
  const Wanted hours = wanted(ram[kHoursAlarm], decode_hours(ram, ram[kHoursAlarm]));
  const Wanted minutes = wanted(ram[kMinutesAlarm], decode(ram, ram[kMinutesAlarm]));
  const Wanted seconds = wanted(ram[kSecondsAlarm], decode(ram, ram[kSecondsAlarm]));
  if (hours.first(0, 24) >= 24 || minutes.first(0, 60) >= 60 || seconds.first(0, 60) >= 60) {
    return std::nullopt;
  }
  int64_t in_day = (after + 1) % kDaySeconds;
  in_day += in_day < 0 ? kDaySeconds : 0;
  const int64_t midnight = after + 1 - in_day;
  const auto at = [](int hour, int minute, int second) { return int64_t{hour} * 3600 + int64_t{minute} * 60 + second; };
  const int hour = static_cast<int>(in_day / 3600);
  const int minute = static_cast<int>(in_day / 60 % 60);
  const int second = static_cast<int>(in_day % 60);
  // Today: in this minute, in a later one of this hour, in a later hour.
  if (hours.first(hour, 24) == hour) {
    if (minutes.first(minute, 60) == minute && seconds.first(second, 60) < 60) {
      return midnight + at(hour, minute, seconds.first(second, 60));
    }
    if (minutes.first(minute + 1, 60) < 60) {
      return midnight + at(hour, minutes.first(minute + 1, 60), seconds.first(0, 60));
    }
  }
  const int later = hours.first(hour + 1, 24);
  const int64_t day = later < 24 ? midnight : midnight + kDaySeconds;
  return day + at(later < 24 ? later : hours.first(0, 24), minutes.first(0, 60), seconds.first(0, 60));
}

}  // namespace lodge::cmos
