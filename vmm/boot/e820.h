// The memory map a guest is told at boot (the BIOS call int 15h, ax=e820; ACPI 6.5 section 15).
// Called by the machine once per boot, before the loaders; pure functions.
#pragma once

#include <cstdint>
#include <vector>

namespace lodge {

enum class E820Type : uint32_t { ram = 1, reserved = 2, acpi_reclaim = 3, acpi_nvs = 4 };

struct E820Entry {
  uint64_t base = 0;
  uint64_t size = 0;
  E820Type type = E820Type::ram;
};

struct E820Config {
  uint64_t ram_size = 0;
  uint64_t ecam_base = 0;  // PCI configuration space; size 0 when the machine has none
  uint64_t ecam_size = 0;
  uint64_t acpi_base = 0;  // AcpiImage::high_base and high_size: tables at the top of low RAM, or size 0
  uint64_t acpi_size = 0;
};

// Ascending, disjoint entries: RAM with the 640 KiB hole, reserved BIOS area, ACPI tables, ECAM, RAM above 4 GiB.
[[nodiscard]] std::vector<E820Entry> build_e820(const E820Config& config);

}  // namespace lodge
