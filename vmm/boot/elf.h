// A bounds-checked reading of an ELF executable: its load segments, entry and PVH note (System V ABI; Xen's elfnote.h).
// Called by the loaders; pure function over the file's bytes, which are hostile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace lodge {

struct ElfSegment {
  uint64_t physical = 0;
  uint64_t virtual_address = 0;
  uint64_t memory_size = 0;         // at least data.size(); the rest is zero
  std::span<const std::byte> data;  // part of the image
};

struct ElfImage {
  bool is_64 = false;
  uint64_t entry = 0;
  std::vector<ElfSegment> segments;   // PT_LOAD with a size
  std::optional<uint64_t> pvh_entry;  // note XEN_ELFNOTE_PHYS32_ENTRY
};

[[nodiscard]] bool is_elf(std::span<const std::byte> image);
// x86 executables only, little-endian, 32 or 64 bit.
[[nodiscard]] Result<ElfImage> parse_elf(std::span<const std::byte> image);

}  // namespace lodge
