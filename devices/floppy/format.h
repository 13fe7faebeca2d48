// Formats of floppy disks, and which of them an image is.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"

namespace lodge {

// What a drive can read; also the number of its kind in the CMOS RAM.
enum class FloppyDriveKind : uint8_t { none = 0, inch5_1200 = 2, inch3_1440 = 4, inch3_2880 = 5 };

struct FloppyFormat {
  uint32_t kib = 0;
  uint8_t cylinders = 0;
  uint8_t heads = 0;
  uint8_t sectors = 0;                                  // of 512 bytes, on a track
  uint8_t rate = 0;                                     // as the registers have it: 0: 500, 1: 300, 2: 250, 3: 1000 kbit/s
  FloppyDriveKind least = FloppyDriveKind::inch3_1440;  // the drive that reads it; 2880 also reads what 1440 does
  [[nodiscard]] uint64_t size() const { return uint64_t{kib} * 1024; }
};

// The format of an image of `size` bytes: that of its size, or the smallest 3.5" one into which it fits; what is missing is
// then empty. Errors: it is empty, or larger than any.
[[nodiscard]] Result<FloppyFormat> floppy_format(uint64_t size);
[[nodiscard]] bool can_read(FloppyDriveKind drive, const FloppyFormat& format);
// The usual drive for a format; without one that for 1.44 MB.
[[nodiscard]] FloppyDriveKind drive_for(const std::optional<FloppyFormat>& format);

}  // namespace lodge
