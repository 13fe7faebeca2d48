// What the loader fuzz targets share: bytes become a kernel image, which is loaded into a small guest.
// The first byte of the input chooses initrd, modules and command line; single-threaded.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>

#include "vmm/boot/layout.h"
#include "vmm/boot/loader.h"

namespace lodge {

inline void fuzz_load_kernel(std::span<const std::byte> kernel, uint8_t choice) {
  static const std::unique_ptr<GuestMemory> memory = [] {
    auto created = GuestMemory::create(ram_ranges(kMinimumRam), {.transparent_hugepages = false});
    if (!created) {
      std::abort();
    }
    return std::move(*created);
  }();
  static const std::vector<std::byte> blob(9000, std::byte{1});
  BootFiles files;
  files.kernel = kernel;
  files.initrd = std::span(blob).first((choice & 1) != 0 ? blob.size() : 0);
  files.command_line.assign((choice & 2) != 0 ? 3000 : 10, 'x');
  if ((choice & 4) != 0) {
    files.modules.assign(choice >> 4, BootModule{blob, "module"});
  }
  BootTables tables;
  E820Config config;
  config.ram_size = kMinimumRam;
  tables.e820 = build_e820(config);
  tables.low_ram_end = kMinimumRam;
  tables.rsdp = kAcpiRsdp;
  const auto state = load_kernel(*memory, files, tables);
  if (state && state->kind != *recognise_kernel(kernel)) {
    std::abort();
  }
  if (!state && state.error().message.empty()) {
    std::abort();
  }
}

}  // namespace lodge
