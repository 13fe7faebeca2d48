#include "vmm/boot/loader.h"

#include <algorithm>
#include <cstring>

#include "vmm/boot/elf.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/loader_parts.h"

namespace lodge {

Result<void> Placer::kernel_part(uint64_t at, std::span<const std::byte> data, uint64_t memory_size) {
  const auto end = checked_add(at, memory_size);
  if (!end || memory_size < data.size()) {
    return fail("the kernel asks to be loaded at {:#x} with {:#x} bytes, which no memory has", at, memory_size);
  }
  const bool conventional = at >= kBootDataEnd && *end <= kLowMemoryEnd;
  if (!conventional && at < kHighMemoryStart) {
    return fail(
        "the kernel asks to be loaded at {:#x}..{:#x}, which overlaps boot data or the video hole; link it at 1 MiB or "
        "above",
        at, *end);
  }
  TRY_VOID(reserve_kernel(at, memory_size));
  loaded_ += memory_size;
  if (loaded_ > limit_) {
    return fail("the kernel's segments overlap and together outgrow memory");
  }
  TRY_VOID_CONTEXT(memory_.write_bytes(Gpa{at}, data), "load the kernel");
  TRY_VOID_CONTEXT(memory_.fill(Gpa{at + data.size()}, memory_size - data.size(), std::byte{0}), "load the kernel");
  return {};
}

Result<void> Placer::reserve_kernel(uint64_t at, uint64_t size) {
  const uint64_t end = checked_add(at, size).value_or(UINT64_MAX);
  if (end > limit_) {
    return fail("the kernel needs memory up to {} MiB and the guest has {} MiB below 4 GiB; give it more memory",
                end / kMiB + 1, limit_ / kMiB);
  }
  kernel_end_ = std::max(kernel_end_, end);
  if (at >= kHighMemoryStart) {
    kernel_begin_ = std::min(kernel_begin_, at);
  }
  return {};
}

Result<uint64_t> Placer::high(std::span<const std::byte> data, std::string_view what, uint64_t highest) {
  const uint64_t top = highest >= top_ ? top_ : highest + 1;
  const uint64_t floor = align_up(std::max(kernel_end_, kHighMemoryStart), kPageSize);
  if (data.size() > top || align_down(top - data.size(), kPageSize) < floor) {
    // Many kernels are linked at 16 MiB: what is below is free.
    const uint64_t below = below_ != 0 ? below_ : std::min(kernel_begin_, kernel_end_);
    if (below > kHighMemoryStart && below - kHighMemoryStart >= align_up(data.size(), kPageSize) && below - 1 <= highest) {
      below_ = align_down(below - data.size(), kPageSize);
      TRY_VOID_CONTEXT(memory_.write_bytes(Gpa{below_}, data), what);
      return below_;
    }
    return fail("the {} of {} KiB does not fit: {} KiB of memory are left above the kernel; give the guest more memory",
                what, data.size() / kKiB, top > floor ? (top - floor) / kKiB : 0);
  }
  const uint64_t at = align_down(top - data.size(), kPageSize);
  TRY_VOID_CONTEXT(memory_.write_bytes(Gpa{at}, data), what);
  top_ = at;
  return at;
}

Result<Gpa> InfoWriter::reserve(uint64_t size) {
  const uint64_t at = align_up(used_, 8);
  if (!range_fits(at, size, kBootInfoSize)) {
    return fail("boot information (memory map, modules and their strings) outgrows {} KiB; pass fewer or shorter modules",
                kBootInfoSize / kKiB);
  }
  used_ = at + size;
  return Gpa{kBootInfo.value + at};
}

Result<Gpa> InfoWriter::text(std::string_view value) {
  if (value.find('\0') != std::string_view::npos) {
    return fail("a module's text holds a zero byte");
  }
  const Gpa at = TRY(reserve(value.size() + 1));
  TRY_VOID(memory_.write_bytes(at, bytes_of(value)));
  TRY_VOID(memory_.write(Gpa{at.value + value.size()}, uint8_t{0}));
  return at;
}

Result<void> write_command_line(const GuestMemory& memory, std::string_view text, uint64_t limit) {
  limit = std::min(limit, kCommandLineSize - 1);
  if (text.size() > limit) {
    return fail("the kernel command line has {} bytes and this kernel takes {} at most; shorten it", text.size(), limit);
  }
  if (text.find('\0') != std::string_view::npos) {
    return fail("the kernel command line holds a zero byte");
  }
  TRY_VOID(memory.write_bytes(kCommandLine, bytes_of(text)));
  return memory.write(Gpa{kCommandLine.value + text.size()}, uint8_t{0});
}

Result<KernelKind> recognise_kernel(std::span<const std::byte> image) {
  if (image.empty()) {
    return fail("the kernel is empty");
  }
  if (is_bzimage(image)) {
    return KernelKind::bzimage;
  }
  const bool multiboot = find_multiboot(image).has_value();
  if (is_elf(image)) {
    const auto elf = parse_elf(image);
    if (elf && elf->pvh_entry) {
      return KernelKind::pvh;
    }
    if (!elf && !multiboot) {
      return std::unexpected(elf.error());
    }
  }
  if (multiboot) {
    return KernelKind::multiboot;
  }
  return fail("not a kernel: it is neither bzImage, PVH ELF nor Multiboot; give one of these");
}

Result<EntryState> load_kernel(const GuestMemory& memory, const BootFiles& files, const BootTables& tables) {
  const KernelKind kind = TRY(recognise_kernel(files.kernel));
  Placer placer(memory, tables.low_ram_end);
  EntryState state;
  switch (kind) {
    case KernelKind::bzimage: state = TRY(load_bzimage(placer, files, tables)); break;
    case KernelKind::pvh: state = TRY(load_pvh(placer, files, tables)); break;
    case KernelKind::multiboot:
      state = TRY(load_multiboot(placer, find_multiboot(files.kernel).value_or(MultibootHeader{}), files, tables));
      break;
  }
  state.kind = kind;
  return state;
}

}  // namespace lodge
