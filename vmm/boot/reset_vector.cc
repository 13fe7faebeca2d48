#include "vmm/boot/reset_vector.h"

#include <array>
#include <cstdint>
#include <span>

#include "vmm/boot/layout.h"

namespace lodge {

Result<void> write_reset_vector(const GuestMemory& memory) {
  // Entered in real mode as f000:fff0. An interrupt without a table to look in is a triple fault: the machine's reset.
  static constexpr std::array<uint8_t, 16> kCode{
      0xfa,                                // cli
      0x2e, 0x0f, 0x01, 0x1e, 0xf8, 0xff,  // lidt cs:[0xfff8]
      0xcc,                                // int3
      0,    0,    0,    0,    0,    0,     // at 0xfff8: an empty table
      0xff, 0xff,
  };
  TRY_VOID_CONTEXT(memory.write_bytes(kResetVector, std::as_bytes(std::span(kCode))), "write the reset vector");
  return {};
}

}  // namespace lodge
