// The bzImage loader: the input is the setup header (from 0x1f1) and payload of an image whose magic numbers are right.
#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/fuzz/kernel_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  constexpr size_t kHeader = 0x1f1;
  const auto input = std::as_bytes(std::span(data + 1, size - 1));
  std::vector<std::byte> image(kHeader + input.size());
  std::copy(input.begin(), input.end(), image.begin() + kHeader);
  if ((data[0] & 8) == 0 && image.size() >= 0x206) {
    image[0x1fe] = std::byte{0x55};
    image[0x1ff] = std::byte{0xaa};
    std::memcpy(image.data() + 0x202, "HdrS", 4);
  }
  lodge::fuzz_load_kernel(image, data[0]);
  return 0;
}
