// Multiboot 1 (specification 0.6.96): ELF32, or any file whose header gives its addresses.
#include <algorithm>
#include <array>

#include "vmm/boot/elf.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/loader_parts.h"

namespace lodge {
namespace {

constexpr uint32_t kHeaderMagic = 0x1badb002;
constexpr uint32_t kLoaderMagic = 0x2badb002;
constexpr uint64_t kSearchLength = 8192;
constexpr uint32_t kAlignModules = 1U << 0;
constexpr uint32_t kMemoryInfo = 1U << 1;
constexpr uint32_t kRequired = 0xffff;  // a loader must refuse what it does not know of these

// Fields of the information structure and the flags that declare them.
constexpr size_t kInfoSize = 120;
constexpr uint32_t kInfoMemory = 1U << 0;
constexpr uint32_t kInfoCommandLine = 1U << 2;
constexpr uint32_t kInfoModules = 1U << 3;
constexpr uint32_t kInfoMap = 1U << 6;
constexpr uint32_t kInfoLoaderName = 1U << 9;

struct __attribute__((packed)) MapEntry {
  uint32_t size;  // of what follows
  uint64_t base;
  uint64_t length;
  uint32_t type;
};
static_assert(sizeof(MapEntry) == 24);

struct ModuleEntry {
  uint32_t start;
  uint32_t end;
  uint32_t text;
  uint32_t reserved;
};

using Bytes = std::span<const std::byte>;

Result<uint64_t> load_by_header(Placer& placer, const MultibootHeader& header, Bytes image) {
  const uint64_t before_header = uint64_t{header.header_addr} - header.load_addr;
  if (header.load_addr > header.header_addr || before_header > header.offset) {
    return fail("the Multiboot header's load address {:#x} lies before the start of the file", header.load_addr);
  }
  const uint64_t offset = header.offset - before_header;
  uint64_t size = image.size() - offset;
  if (header.load_end_addr != 0) {
    if (header.load_end_addr < header.load_addr || header.load_end_addr - header.load_addr > size) {
      return fail("the Multiboot header asks for {:#x}..{:#x}, more than the file has: it is truncated", header.load_addr,
                  header.load_end_addr);
    }
    size = header.load_end_addr - header.load_addr;
  }
  uint64_t memory_size = size;
  if (header.bss_end_addr != 0) {
    if (header.bss_end_addr < header.load_addr + size) {
      return fail("the Multiboot header's end of bss {:#x} lies inside the loaded data", header.bss_end_addr);
    }
    memory_size = header.bss_end_addr - header.load_addr;
  }
  TRY_VOID(placer.kernel_part(header.load_addr, image.subspan(offset, size), memory_size));
  return uint64_t{header.entry_addr};
}

Result<uint64_t> load_elf32(Placer& placer, Bytes image) {
  if (!is_elf(image)) {
    return fail("the Multiboot kernel is not an ELF file and its header gives no addresses (flag 16)");
  }
  const ElfImage elf = TRY(parse_elf(image));
  if (elf.is_64) {
    return fail(
        "the Multiboot kernel is a 64-bit ELF file; Multiboot takes 32-bit ELF, or give addresses in the header (flag 16)");
  }
  uint64_t entry = elf.entry;
  for (const ElfSegment& segment : elf.segments) {
    TRY_VOID(placer.kernel_part(segment.physical, segment.data, segment.memory_size));
    // The entry is a virtual address; it is entered with paging off.
    if (elf.entry >= segment.virtual_address && elf.entry - segment.virtual_address < segment.memory_size) {
      entry = segment.physical + (elf.entry - segment.virtual_address);
    }
  }
  return entry;
}

Result<Gpa> write_map(InfoWriter& info, const GuestMemory& memory, const std::vector<E820Entry>& map) {
  const Gpa at = TRY(info.reserve(map.size() * sizeof(MapEntry)));
  for (size_t i = 0; i < map.size(); ++i) {
    const MapEntry row{sizeof(MapEntry) - 4, map[i].base, map[i].size, static_cast<uint32_t>(map[i].type)};
    TRY_VOID(memory.write(Gpa{at.value + i * sizeof(MapEntry)}, row));
  }
  return at;
}

}  // namespace

std::optional<MultibootHeader> find_multiboot(Bytes image) {
  const uint64_t end = std::min<uint64_t>(image.size(), kSearchLength);
  for (uint64_t at = 0; range_fits(at, 12, end); at += 4) {
    if (load_le<uint32_t>(image, at) != kHeaderMagic) {
      continue;
    }
    MultibootHeader header;
    header.offset = at;
    header.flags = load_le<uint32_t>(image, at + 4);
    const auto checksum = load_le<uint32_t>(image, at + 8);
    if (static_cast<uint32_t>(kHeaderMagic + header.flags + checksum) != 0) {
      continue;
    }
    const bool addresses = (header.flags & kMultibootAddresses) != 0;
    const bool video = (header.flags & kMultibootVideo) != 0;
    const uint64_t length = video ? 48 : addresses ? 32 : 12;
    if (!range_fits(at, length, end)) {
      continue;
    }
    if (addresses) {
      header.header_addr = load_le<uint32_t>(image, at + 12);
      header.load_addr = load_le<uint32_t>(image, at + 16);
      header.load_end_addr = load_le<uint32_t>(image, at + 20);
      header.bss_end_addr = load_le<uint32_t>(image, at + 24);
      header.entry_addr = load_le<uint32_t>(image, at + 28);
    }
    if (video) {
      header.mode_type = load_le<uint32_t>(image, at + 32);
    }
    return header;
  }
  return std::nullopt;
}

Result<EntryState> load_multiboot(Placer& placer, const MultibootHeader& header, const BootFiles& files,
                                  const BootTables& tables) {
  const GuestMemory& memory = placer.memory();
  const uint32_t unknown = header.flags & kRequired & ~(kAlignModules | kMemoryInfo | kMultibootVideo);
  if (unknown != 0) {
    return fail("the Multiboot kernel requires features {:#x} that this loader does not have", unknown);
  }
  if ((header.flags & kMultibootVideo) != 0 && header.mode_type == 0) {
    return fail(
        "the Multiboot kernel requires a graphics mode, which a direct boot cannot set; boot it from a disk by the BIOS");
  }
  const uint64_t entry = (header.flags & kMultibootAddresses) != 0 ? TRY(load_by_header(placer, header, files.kernel))
                                                                   : TRY(load_elf32(placer, files.kernel));
  if (entry > UINT32_MAX) {
    return fail("the Multiboot kernel's entry {:#x} is not a 32-bit address", entry);
  }
  TRY_VOID(write_command_line(memory, files.command_line, kCommandLineSize - 1));

  InfoWriter info(memory);
  const Gpa info_at = TRY(info.reserve(kInfoSize));
  const Gpa map_at = TRY(write_map(info, memory, tables.e820));
  const Gpa name_at = TRY(info.text("Lodge"));

  const size_t count = files.modules.size() + (files.initrd.empty() ? 0 : 1);
  const Gpa list_at = TRY(info.reserve(count * sizeof(ModuleEntry)));
  uint32_t modules = 0;
  const auto add = [&](Bytes data, std::string_view text, std::string_view what) -> Result<void> {
    const auto at = static_cast<uint32_t>(TRY(placer.high(data, what)));
    const auto text_at = static_cast<uint32_t>(TRY(info.text(text)).value);
    const Gpa row_at{list_at.value + modules++ * sizeof(ModuleEntry)};
    return memory.write(row_at, ModuleEntry{at, static_cast<uint32_t>(at + data.size()), text_at, 0});
  };
  if (!files.initrd.empty()) {
    TRY_VOID(add(files.initrd, "initrd", "initrd"));
  }
  for (const BootModule& module : files.modules) {
    TRY_VOID(add(module.data, module.text, "module"));
  }

  std::array<std::byte, kInfoSize> fields{};
  std::span<std::byte> out(fields);
  const auto put = [&out](size_t at, uint64_t value) { store_le(out, at, static_cast<uint32_t>(value)); };
  put(0, kInfoMemory | kInfoCommandLine | kInfoModules | kInfoMap | kInfoLoaderName);
  put(4, kLowMemoryEnd / kKiB);
  put(8, tables.low_ram_end > kHighMemoryStart ? (tables.low_ram_end - kHighMemoryStart) / kKiB : 0);
  put(16, kCommandLine.value);
  put(20, modules);
  put(24, list_at.value);
  put(44, tables.e820.size() * sizeof(MapEntry));
  put(48, map_at.value);
  put(64, name_at.value);
  TRY_VOID(memory.write_bytes(info_at, fields));

  EntryState state = TRY(enter_protected_mode(memory));
  state.rip = entry;
  state.rax = kLoaderMagic;
  state.rbx = info_at.value;
  return state;
}

}  // namespace lodge
