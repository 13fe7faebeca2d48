// The two processor states a direct boot starts in, with the GDT and page tables they need.
#include <array>

#include "vmm/boot/layout.h"
#include "vmm/boot/loader_parts.h"

namespace lodge {
namespace {

// Selectors as the Linux boot protocol names them (__BOOT_CS, __BOOT_DS); PVH and Multiboot take any flat ones.
constexpr uint16_t kCodeSelector = 0x10;
constexpr uint16_t kDataSelector = 0x18;
constexpr uint16_t kTaskSelector = 0x20;
constexpr uint32_t kTaskLimit = 0x67;

constexpr uint64_t kCr0ProtectionEnable = 1U << 0;
constexpr uint64_t kCr0ExtensionType = 1U << 4;
constexpr uint64_t kCr0Paging = 1U << 31;
constexpr uint64_t kCr4PhysicalAddressExtension = 1U << 5;
constexpr uint64_t kEferLongModeEnable = 1U << 8;
constexpr uint64_t kEferLongModeActive = 1U << 10;

constexpr uint64_t kPagePresentWritable = 3;
constexpr uint64_t kPageLarge = 1U << 7;

// A descriptor as the GDT holds it (Intel SDM volume 3, 3.4.5).
constexpr uint64_t descriptor(const SegmentState& segment) {
  const uint64_t limit = segment.granular ? segment.limit >> 12 : segment.limit;
  const auto flag = [](bool on, int bit) { return on ? uint64_t{1} << bit : 0; };
  return (limit & 0xffff) | (segment.base & 0xffffff) << 16 | uint64_t{segment.type} << 40 | flag(segment.code_or_data, 44) |
         flag(true, 47) | (limit >> 16 & 0xf) << 48 | flag(segment.long_mode, 53) | flag(segment.default_32, 54) |
         flag(segment.granular, 55) | (segment.base >> 24 & 0xff) << 56;
}

Result<EntryState> with_segments(const GuestMemory& memory, bool long_mode) {
  EntryState state;
  // Types: 11 = code, readable, accessed; 3 = data, writable, accessed; 11 (system) = busy TSS.
  state.code = {kCodeSelector, 0, 0xffffffff, 11, true, long_mode, !long_mode, true};
  state.data = {kDataSelector, 0, 0xffffffff, 3, true, false, true, true};
  state.task = {kTaskSelector, 0, kTaskLimit, 11, false, false, false, false};
  const std::array<uint64_t, 6> gdt{0, 0, descriptor(state.code), descriptor(state.data), descriptor(state.task), 0};
  TRY_VOID(memory.write_bytes(kBootGdt, std::as_bytes(std::span(gdt))));
  state.gdt_base = kBootGdt.value;
  state.gdt_limit = static_cast<uint16_t>(sizeof(gdt) - 1);
  state.rsp = kBootStackTop.value;
  state.cr0 = kCr0ProtectionEnable | kCr0ExtensionType;
  return state;
}

// Identity map of the first 4 GiB with 2 MiB pages, which every 64-bit processor has.
Result<void> write_page_tables(const GuestMemory& memory) {
  constexpr uint64_t kEntries = 512;
  const uint64_t pdpt = kPageTables.value + kPageSize;
  std::array<uint64_t, kEntries> table{};
  table[0] = pdpt | kPagePresentWritable;
  TRY_VOID(memory.write_bytes(kPageTables, std::as_bytes(std::span(table))));
  table = {};
  for (uint64_t i = 0; i < 4; ++i) {
    table[i] = (pdpt + (i + 1) * kPageSize) | kPagePresentWritable;
  }
  TRY_VOID(memory.write_bytes(Gpa{pdpt}, std::as_bytes(std::span(table))));
  for (uint64_t i = 0; i < 4; ++i) {
    for (uint64_t j = 0; j < kEntries; ++j) {
      table[j] = (i * kGiB + j * 2 * kMiB) | kPagePresentWritable | kPageLarge;
    }
    TRY_VOID(memory.write_bytes(Gpa{pdpt + (i + 1) * kPageSize}, std::as_bytes(std::span(table))));
  }
  return {};
}

}  // namespace

Result<EntryState> enter_long_mode(const GuestMemory& memory) {
  EntryState state = TRY(with_segments(memory, true));
  TRY_VOID(write_page_tables(memory));
  state.mode = EntryState::Mode::long64;
  state.cr0 |= kCr0Paging;
  state.cr3 = kPageTables.value;
  state.cr4 = kCr4PhysicalAddressExtension;
  state.efer = kEferLongModeEnable | kEferLongModeActive;
  return state;
}

Result<EntryState> enter_protected_mode(const GuestMemory& memory) {
  EntryState state = TRY(with_segments(memory, false));
  state.mode = EntryState::Mode::protected32;
  return state;
}

}  // namespace lodge
