// The ELF reader and the PVH loader: the input is the file, its identification bytes corrected so that most runs get past
// them.
#include <algorithm>
#include <array>
#include <vector>

#include "tests/fuzz/kernel_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const auto input = std::as_bytes(std::span(data + 1, size - 1));
  std::vector<std::byte> image(input.begin(), input.end());
  if (image.size() >= 20) {
    const bool is_64 = (data[0] & 8) == 0;
    const std::array<uint8_t, 6> ident{0x7f, 'E', 'L', 'F', static_cast<uint8_t>(is_64 ? 2 : 1), 1};
    std::transform(ident.begin(), ident.end(), image.begin(), [](uint8_t b) { return std::byte{b}; });
    image[18] = std::byte{static_cast<uint8_t>(is_64 ? 62 : 3)};
    image[19] = std::byte{0};
  }
  lodge::fuzz_load_kernel(image, data[0]);
  return 0;
}
