#include "devices/floppy/format.h"

#include <algorithm>
#include <array>

namespace lodge {
namespace {

using enum FloppyDriveKind;

// KiB, cylinders, heads, sectors, rate, drive; the 3.5" ones by size.
constexpr std::array kFormats{
    FloppyFormat{160, 40, 1, 8, 1, inch5_1200},   FloppyFormat{180, 40, 1, 9, 1, inch5_1200},
    FloppyFormat{320, 40, 2, 8, 1, inch5_1200},   FloppyFormat{360, 40, 2, 9, 1, inch5_1200},
    FloppyFormat{1200, 80, 2, 15, 0, inch5_1200}, FloppyFormat{720, 80, 2, 9, 2, inch3_1440},
    FloppyFormat{1440, 80, 2, 18, 0, inch3_1440}, FloppyFormat{1680, 80, 2, 21, 0, inch3_1440},
    FloppyFormat{2880, 80, 2, 36, 3, inch3_2880},
};

}  // namespace

Result<FloppyFormat> floppy_format(uint64_t size) {
  const auto* exact = std::ranges::find(kFormats, size, &FloppyFormat::size);
  if (exact != kFormats.end()) {
    return *exact;
  }
  const auto* fits = std::ranges::find_if(kFormats, [size](const FloppyFormat& format) {
    return format.least != inch5_1200 && format.kib != 1680 && size <= format.size();
  });
  if (size == 0 || fits == kFormats.end()) {
    return fail(
        "{} bytes are no floppy disk; known are images of 160, 180, 320, 360, 720, 1200, 1440, 1680 and 2880 KiB, and "
        "smaller "
        "ones, which are completed",
        size);
  }
  return *fits;
}

bool can_read(FloppyDriveKind drive, const FloppyFormat& format) {
  return drive == format.least || (drive == inch3_2880 && format.least == inch3_1440);
}

FloppyDriveKind drive_for(const std::optional<FloppyFormat>& format) { return format ? format->least : inch3_1440; }

}  // namespace lodge
