// Linux bzImage by the 64-bit boot protocol: Documentation/arch/x86/boot.rst and zero-page.rst of the kernel.
#include <algorithm>
#include <array>
#include <cstring>

#include "vmm/boot/layout.h"
#include "vmm/boot/loader_parts.h"

namespace lodge {
namespace {

// Offsets in the image and, the same, in the zero page.
constexpr size_t kSetupSects = 0x1f1;
constexpr size_t kSysSize = 0x1f4;
constexpr size_t kVideoMode = 0x1fa;
constexpr size_t kBootFlag = 0x1fe;
constexpr size_t kJumpOffset = 0x201;
constexpr size_t kHeaderMagic = 0x202;
constexpr size_t kVersion = 0x206;
constexpr size_t kTypeOfLoader = 0x210;
constexpr size_t kLoadFlags = 0x211;
constexpr size_t kRamdiskImage = 0x218;
constexpr size_t kRamdiskSize = 0x21c;
constexpr size_t kCmdLinePtr = 0x228;
constexpr size_t kInitrdAddrMax = 0x22c;
constexpr size_t kKernelAlignment = 0x230;
constexpr size_t kRelocatable = 0x234;
constexpr size_t kXLoadFlags = 0x236;
constexpr size_t kCmdlineSize = 0x238;
constexpr size_t kPrefAddress = 0x258;
constexpr size_t kInitSize = 0x260;
constexpr size_t kHeaderEnd = 0x268;  // of all fields above
// In the zero page only.
constexpr size_t kAcpiRsdpAddr = 0x070;
constexpr size_t kE820Count = 0x1e8;
constexpr size_t kE820Table = 0x2d0;
constexpr size_t kSetupHeaderLimit = 0x290;  // where the zero page goes on with other things
constexpr size_t kE820Limit = 128;

constexpr uint16_t kVersionWith64BitEntry = 0x20c;
constexpr uint8_t kLoadedHigh = 1U << 0;
constexpr uint16_t kHas64BitEntry = 1U << 0;
constexpr uint64_t kEntry64 = 0x200;
constexpr uint8_t kUnregisteredLoader = 0xff;
constexpr uint64_t kSector = 512;

using Bytes = std::span<const std::byte>;
using ZeroPage = std::array<std::byte, kPageSize>;

Result<uint64_t> choose_address(Bytes image) {
  const auto preferred = load_le<uint64_t>(image, kPrefAddress);
  if (preferred >= kHighMemoryStart && preferred < kLowRamLimit) {
    return preferred;
  }
  const uint64_t alignment = load_le<uint32_t>(image, kKernelAlignment);
  if (load_le<uint8_t>(image, kRelocatable) == 0 || !std::has_single_bit(alignment) || alignment > kGiB) {
    return fail("the bzImage wants to be loaded at {:#x} and cannot be moved", preferred);
  }
  return align_up(16 * kMiB, alignment);
}

// The protected-mode part of the file.
Result<Bytes> payload(Bytes image) {
  const auto sectors = load_le<uint8_t>(image, kSetupSects);
  const uint64_t offset = (uint64_t{sectors == 0 ? uint8_t{4} : sectors} + 1) * kSector;
  const uint64_t wanted = uint64_t{load_le<uint32_t>(image, kSysSize)} * 16;
  const uint64_t available = image.size() > offset ? image.size() - offset : 0;
  if (available == 0 || available + 15 < wanted) {
    return fail("the bzImage is truncated: it has {} of {} bytes", image.size(), offset + wanted);
  }
  return image.subspan(offset, wanted == 0 ? available : std::min(wanted, available));
}

Result<void> fill_memory_map(ZeroPage& page, const std::vector<E820Entry>& map) {
  if (map.size() > kE820Limit) {
    return fail("the memory map has {} entries and the boot protocol takes {}", map.size(), kE820Limit);
  }
  std::span<std::byte> out(page);
  size_t at = kE820Table;
  for (const E820Entry& entry : map) {
    store_le(out, at, entry.base);
    store_le(out, at + 8, entry.size);
    store_le(out, at + 16, static_cast<uint32_t>(entry.type));
    at += 20;
  }
  store_le(out, kE820Count, static_cast<uint8_t>(map.size()));
  return {};
}

}  // namespace

bool is_bzimage(Bytes image) {
  return image.size() >= kHeaderMagic + 4 && load_le<uint16_t>(image, kBootFlag) == 0xaa55 &&
         std::memcmp(image.data() + kHeaderMagic, "HdrS", 4) == 0;
}

Result<EntryState> load_bzimage(Placer& placer, const BootFiles& files, const BootTables& tables) {
  const Bytes image = files.kernel;
  if (image.size() < kHeaderEnd) {
    return fail("the bzImage is truncated: it has {} bytes", image.size());
  }
  const auto version = load_le<uint16_t>(image, kVersion);
  if (version < kVersionWith64BitEntry || (load_le<uint16_t>(image, kXLoadFlags) & kHas64BitEntry) == 0) {
    return fail(
        "the bzImage has no 64-bit entry (boot protocol {}.{:02}): it is a 32-bit or very old kernel; use a 64-bit kernel "
        "of "
        "version 3.8 or later, or boot it from a disk by the BIOS",
        version >> 8, version & 0xff);
  }
  if ((load_le<uint8_t>(image, kLoadFlags) & kLoadedHigh) == 0) {
    return fail("the kernel is a zImage that must be loaded low; use a bzImage");
  }
  if (!files.modules.empty()) {
    return fail("a bzImage takes no modules; only Multiboot and PVH kernels do");
  }
  const Bytes code = TRY(payload(image));
  const uint64_t address = TRY(choose_address(image));
  const uint64_t needed = std::max<uint64_t>(load_le<uint32_t>(image, kInitSize), code.size());
  // Only the file's part is written: the decompressor clears what it uses of the rest.
  TRY_VOID(placer.kernel_part(address, code, code.size()));
  TRY_VOID(placer.reserve_kernel(address, needed));

  ZeroPage page{};
  std::span<std::byte> out(page);
  const size_t header_end = std::clamp<size_t>(kHeaderMagic + load_le<uint8_t>(image, kJumpOffset), kHeaderEnd,
                                               std::min(kSetupHeaderLimit, image.size()));
  std::copy(image.begin() + kSetupSects, image.begin() + static_cast<ptrdiff_t>(header_end), page.begin() + kSetupSects);
  store_le(out, kTypeOfLoader, kUnregisteredLoader);
  store_le(out, kVideoMode, uint16_t{0xffff});
  store_le(out, kRamdiskImage, uint32_t{0});
  store_le(out, kRamdiskSize, uint32_t{0});
  if (!files.initrd.empty()) {
    const uint64_t at = TRY(placer.high(files.initrd, "initrd", load_le<uint32_t>(image, kInitrdAddrMax)));
    store_le(out, kRamdiskImage, static_cast<uint32_t>(at));
    store_le(out, kRamdiskSize, static_cast<uint32_t>(files.initrd.size()));
  }
  TRY_VOID(write_command_line(placer.memory(), files.command_line, load_le<uint32_t>(image, kCmdlineSize)));
  store_le(out, kCmdLinePtr, static_cast<uint32_t>(kCommandLine.value));
  store_le(out, kAcpiRsdpAddr, tables.rsdp.value);
  TRY_VOID(fill_memory_map(page, tables.e820));
  TRY_VOID(placer.memory().write_bytes(kZeroPage, page));

  EntryState state = TRY(enter_long_mode(placer.memory()));
  state.rip = address + kEntry64;
  state.rsi = kZeroPage.value;
  return state;
}

}  // namespace lodge
