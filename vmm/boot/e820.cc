#include "vmm/boot/e820.h"

#include <algorithm>

#include "vmm/boot/layout.h"

namespace lodge {

std::vector<E820Entry> build_e820(const E820Config& config) {
  std::vector<E820Entry> map;
  const auto add = [&map](uint64_t base, uint64_t end, E820Type type) {
    if (base < end) {
      map.push_back({base, end - base, type});
    }
  };
  const uint64_t low_end = low_ram_end(config.ram_size);
  add(0, std::min(low_end, kLowMemoryEnd), E820Type::ram);
  add(kLowMemoryEnd, 0xa0000, E820Type::reserved);
  add(kAcpiRsdp.value, kHighMemoryStart, E820Type::reserved);
  const bool high_tables = config.acpi_size != 0 && range_fits(config.acpi_base, config.acpi_size, low_end);
  const uint64_t usable_end = high_tables ? config.acpi_base : low_end;
  add(kHighMemoryStart, usable_end, E820Type::ram);
  if (high_tables) {
    const uint64_t acpi_end = config.acpi_base + config.acpi_size;
    add(config.acpi_base, acpi_end, E820Type::acpi_reclaim);
    add(acpi_end, low_end, E820Type::ram);
  }
  if (config.ecam_size != 0) {
    add(config.ecam_base, config.ecam_base + config.ecam_size, E820Type::reserved);
  }
  add(kHighRamStart, high_ram_end(config.ram_size), E820Type::ram);
  std::sort(map.begin(), map.end(), [](const E820Entry& a, const E820Entry& b) { return a.base < b.base; });
  return map;
}

}  // namespace lodge
