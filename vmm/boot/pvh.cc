// ELF with Xen's PVH note: xen/include/public/arch-x86/hvm/start_info.h describes the structures.
#include "vmm/boot/elf.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/loader_parts.h"

namespace lodge {
namespace {

constexpr uint32_t kStartMagic = 0x336ec578;

struct StartInfo {
  uint32_t magic;
  uint32_t version;
  uint32_t flags;
  uint32_t module_count;
  uint64_t modules;
  uint64_t command_line;
  uint64_t rsdp;
  uint64_t memory_map;
  uint32_t memory_map_entries;
  uint32_t reserved;
};
static_assert(sizeof(StartInfo) == 56);

struct ModuleEntry {
  uint64_t address;
  uint64_t size;
  uint64_t command_line;
  uint64_t reserved;
};
static_assert(sizeof(ModuleEntry) == 32);

struct MapEntry {
  uint64_t base;
  uint64_t size;
  uint32_t type;
  uint32_t reserved;
};
static_assert(sizeof(MapEntry) == 24);

}  // namespace

Result<EntryState> load_pvh(Placer& placer, const BootFiles& files, const BootTables& tables) {
  const ElfImage elf = TRY(parse_elf(files.kernel));
  const GuestMemory& memory = placer.memory();
  for (const ElfSegment& segment : elf.segments) {
    TRY_VOID(placer.kernel_part(segment.physical, segment.data, segment.memory_size));
  }
  const uint64_t entry = elf.pvh_entry.value_or(0);
  if (entry > UINT32_MAX) {
    return fail("the PVH note's entry {:#x} is not a 32-bit address", entry);
  }
  TRY_VOID(write_command_line(memory, files.command_line, kCommandLineSize - 1));

  InfoWriter info(memory);
  const Gpa start_at = TRY(info.reserve(sizeof(StartInfo)));
  StartInfo start{kStartMagic, 1, 0, 0, 0, kCommandLine.value, tables.rsdp.value, 0, 0, 0};

  const Gpa map_at = TRY(info.reserve(tables.e820.size() * sizeof(MapEntry)));
  for (size_t i = 0; i < tables.e820.size(); ++i) {
    const E820Entry& entry_i = tables.e820[i];
    const MapEntry row{entry_i.base, entry_i.size, static_cast<uint32_t>(entry_i.type), 0};
    TRY_VOID(memory.write(Gpa{map_at.value + i * sizeof(MapEntry)}, row));
  }
  start.memory_map = map_at.value;
  start.memory_map_entries = static_cast<uint32_t>(tables.e820.size());

  const size_t count = files.modules.size() + (files.initrd.empty() ? 0 : 1);
  const Gpa list_at = TRY(info.reserve(count * sizeof(ModuleEntry)));
  start.modules = count == 0 ? 0 : list_at.value;
  const auto add = [&](std::span<const std::byte> data, std::string_view text, std::string_view what) -> Result<void> {
    const uint64_t at = TRY(placer.high(data, what));
    const uint64_t text_at = text.empty() ? 0 : TRY(info.text(text)).value;
    const Gpa row_at{list_at.value + start.module_count++ * sizeof(ModuleEntry)};
    return memory.write(row_at, ModuleEntry{at, data.size(), text_at, 0});
  };
  if (!files.initrd.empty()) {
    TRY_VOID(add(files.initrd, "", "initrd"));
  }
  for (const BootModule& module : files.modules) {
    TRY_VOID(add(module.data, module.text, "module"));
  }
  TRY_VOID(memory.write(start_at, start));

  EntryState state = TRY(enter_protected_mode(memory));
  state.rip = entry;
  state.rbx = start_at.value;
  return state;
}

}  // namespace lodge
