#include "vmm/boot/elf.h"

#include <elf.h>

#include <cstring>

#include "base/bytes.h"
#include "base/units.h"

namespace lodge {
namespace {

constexpr uint32_t kMaxProgramHeaders = 256;
constexpr uint32_t kNotePhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY

using Bytes = std::span<const std::byte>;

// Walks the notes of one PT_NOTE segment; a malformed tail ends the walk.
std::optional<uint64_t> find_pvh_entry(Bytes notes, uint64_t alignment) {
  uint64_t at = 0;
  while (range_fits(at, sizeof(Elf64_Nhdr), notes.size())) {
    const auto header = load_le<Elf64_Nhdr>(notes, at);
    const uint64_t name_at = at + sizeof(header);
    const uint64_t data_at = align_up(name_at + header.n_namesz, alignment);
    if (!range_fits(name_at, header.n_namesz, notes.size()) || !range_fits(data_at, header.n_descsz, notes.size())) {
      return std::nullopt;
    }
    const bool xen = header.n_namesz == 4 && std::memcmp(notes.data() + name_at, "Xen", 4) == 0;
    if (xen && header.n_type == kNotePhys32Entry) {
      if (header.n_descsz == 4) {
        return load_le<uint32_t>(notes, data_at);
      }
      if (header.n_descsz == 8) {
        return load_le<uint64_t>(notes, data_at);
      }
    }
    at = align_up(data_at + header.n_descsz, alignment);
  }
  return std::nullopt;
}

template <class Ehdr, class Phdr>
Result<ElfImage> parse(Bytes image, uint16_t machine) {
  if (image.size() < sizeof(Ehdr)) {
    return fail("the ELF header is cut off at {} bytes", image.size());
  }
  const auto header = load_le<Ehdr>(image);
  if (header.e_machine != machine) {
    return fail("the ELF file is for machine {}, not for x86", uint32_t{header.e_machine});
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    return fail("the ELF file is not an executable (type {})", uint32_t{header.e_type});
  }
  if (header.e_phnum == 0 || header.e_phnum > kMaxProgramHeaders || header.e_phentsize != sizeof(Phdr)) {
    return fail("the ELF file has {} program headers of {} bytes; it cannot be loaded", uint32_t{header.e_phnum},
                uint32_t{header.e_phentsize});
  }
  if (!range_fits(header.e_phoff, uint64_t{header.e_phnum} * sizeof(Phdr), image.size())) {
    return fail("the ELF program headers lie outside the file ({} bytes): it is truncated", image.size());
  }
  ElfImage elf;
  elf.is_64 = sizeof(Ehdr) == sizeof(Elf64_Ehdr);
  elf.entry = header.e_entry;
  for (uint32_t i = 0; i < header.e_phnum; ++i) {
    const auto program = load_le<Phdr>(image, header.e_phoff + i * sizeof(Phdr));
    if (program.p_type != PT_LOAD && program.p_type != PT_NOTE) {
      continue;
    }
    if (!range_fits(program.p_offset, program.p_filesz, image.size())) {
      return fail("ELF segment {} needs bytes {:#x}..{:#x} of a file of {:#x}: it is truncated", i,
                  uint64_t{program.p_offset}, uint64_t{program.p_offset} + program.p_filesz, image.size());
    }
    const Bytes data = image.subspan(program.p_offset, program.p_filesz);
    if (program.p_type == PT_NOTE) {
      if (!elf.pvh_entry) {
        elf.pvh_entry = find_pvh_entry(data, program.p_align == 8 ? 8 : 4);
      }
      continue;
    }
    if (program.p_memsz < program.p_filesz) {
      return fail("ELF segment {} is larger in the file than in memory", i);
    }
    if (program.p_memsz != 0) {
      elf.segments.push_back({program.p_paddr, program.p_vaddr, program.p_memsz, data});
    }
  }
  if (elf.segments.empty()) {
    return fail("the ELF file has nothing to load");
  }
  return elf;
}

}  // namespace

bool is_elf(Bytes image) { return image.size() >= SELFMAG && std::memcmp(image.data(), ELFMAG, SELFMAG) == 0; }

Result<ElfImage> parse_elf(Bytes image) {
  if (!is_elf(image) || image.size() < EI_NIDENT) {
    return fail("the ELF header is missing or cut off");
  }
  if (image[EI_DATA] != std::byte{ELFDATA2LSB}) {
    return fail("the ELF file is big-endian, not for x86");
  }
  if (image[EI_CLASS] == std::byte{ELFCLASS64}) {
    return parse<Elf64_Ehdr, Elf64_Phdr>(image, EM_X86_64);
  }
  if (image[EI_CLASS] == std::byte{ELFCLASS32}) {
    return parse<Elf32_Ehdr, Elf32_Phdr>(image, EM_386);
  }
  return fail("the ELF file is neither 32 nor 64 bit");
}

}  // namespace lodge
