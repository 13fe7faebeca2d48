// Guest physical addresses used at boot. Every constant that two parts of the machine must agree on stands here.
// Called by the loaders, the ACPI and SMBIOS builders and the machine; plain constants, any thread.
//
//   0x00000500  GDT            0x00010000  start info / Multiboot info, memory map, module list, strings (64 KiB)
//   0x00007000  zero page      0x00020000  command line (64 KiB)
//   0x00008000  boot stack     0x0009fc00  end of conventional memory
//   0x00009000  page tables    0x000e0000  RSDP, FACS, ACPI tables when they fit; then the generation ID's page
//   0x000f0000  SMBIOS
//   0x00100000  kernel and upwards; initrd as high as possible; big ACPI tables at the top of low RAM
#pragma once

#include <cstdint>
#include <vector>

#include "base/memory/guest_memory.h"
#include "base/units.h"

namespace lodge {

inline constexpr Gpa kBootGdt{0x500};
inline constexpr Gpa kZeroPage{0x7000};
inline constexpr Gpa kBootStackTop{0x8ff0};
inline constexpr Gpa kPageTables{0x9000};  // PML4, PDPT, four page directories
inline constexpr Gpa kBootInfo{0x10000};
inline constexpr uint64_t kBootInfoSize = 64 * kKiB;
inline constexpr Gpa kCommandLine{0x20000};
inline constexpr uint64_t kCommandLineSize = 64 * kKiB;  // the terminating zero included
inline constexpr uint64_t kBootDataEnd = 0x30000;        // a kernel may not be loaded below this
inline constexpr uint64_t kLowMemoryEnd = 0x9fc00;       // then the extended BIOS data area and the video hole
inline constexpr Gpa kAcpiRsdp{0xe0000};
inline constexpr Gpa kAcpiFacs{0xe0040};
inline constexpr Gpa kAcpiLowTables{0xe0080};
inline constexpr uint64_t kAcpiLowEnd = 0xef000;
inline constexpr Gpa kGenerationIdPage{0xef000};  // acpi.h, AcpiGenerationId
inline constexpr Gpa kSmbiosEntry{0xf0000};       // 3.0 (64-bit) anchor
inline constexpr Gpa kSmbiosEntry32{0xf0020};     // 2.8 anchor for old guests
inline constexpr Gpa kSmbiosTable{0xf0040};
inline constexpr uint64_t kSmbiosEnd = 0xffff0;
inline constexpr Gpa kResetVector{0xffff0};  // where a real-mode program jumps to reset the machine
inline constexpr uint64_t kHighMemoryStart = 0x100000;

inline constexpr uint64_t kLowRamLimit = 3 * kGiB;  // RAM below 4 GiB ends here at most; then the PCI hole
inline constexpr uint64_t kHighRamStart = 4 * kGiB;
inline constexpr uint64_t kMinimumRam = 16 * kMiB;
inline constexpr Gpa kIoApicBase{0xfec00000};
inline constexpr Gpa kLocalApicBase{0xfee00000};

// Where the RAM below 4 GiB ends for a guest with `ram_size` bytes.
[[nodiscard]] constexpr uint64_t low_ram_end(uint64_t ram_size) { return ram_size < kLowRamLimit ? ram_size : kLowRamLimit; }

// Where the RAM above 4 GiB ends; kHighRamStart when there is none.
[[nodiscard]] constexpr uint64_t high_ram_end(uint64_t ram_size) {
  return kHighRamStart + (ram_size - low_ram_end(ram_size));
}

// The ranges to create GuestMemory with.
[[nodiscard]] inline std::vector<GuestMemory::Range> ram_ranges(uint64_t ram_size) {
  std::vector<GuestMemory::Range> ranges{{Gpa{0}, low_ram_end(ram_size)}};
  if (ram_size > kLowRamLimit) {
    ranges.push_back({Gpa{kHighRamStart}, ram_size - kLowRamLimit});
  }
  return ranges;
}

}  // namespace lodge
