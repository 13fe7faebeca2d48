// The Multiboot loader: a header with a right checksum is put where the second input byte says, the rest is the input's.
#include <cstring>
#include <vector>

#include "tests/fuzz/kernel_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) {
    return 0;
  }
  const auto input = std::as_bytes(std::span(data + 2, size - 2));
  std::vector<std::byte> image(input.begin(), input.end());
  const size_t at = size_t{data[1]} * 4;
  if (at + 12 <= image.size()) {
    constexpr uint32_t kMagic = 0x1badb002;
    uint32_t flags = 0;
    std::memcpy(&flags, image.data() + at + 4, 4);
    flags &= (data[0] & 8) != 0 ? ~0U : 0x10007U;
    const uint32_t checksum = 0U - kMagic - flags;
    std::memcpy(image.data() + at, &kMagic, 4);
    std::memcpy(image.data() + at + 4, &flags, 4);
    std::memcpy(image.data() + at + 8, &checksum, 4);
  }
  lodge::fuzz_load_kernel(image, data[0]);
  return 0;
}
