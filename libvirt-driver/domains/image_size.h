// How large a raw image is. Any thread; a stat, or a question to the block device.
#pragma once

#include <cstdint>
#include <string>

#include "libvirt-driver/core/call_error.h"

namespace lodge {

struct ImageSize {          // bytes
  uint64_t capacity = 0;    // as the guest sees it
  uint64_t allocation = 0;  // taken on the host
  uint64_t physical = 0;    // of the file or device
};
[[nodiscard]] Answer<ImageSize> image_size(const std::string& path);

}  // namespace lodge
