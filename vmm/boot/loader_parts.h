// What the three loaders share: placing bytes in guest RAM with checks, boot information, entry states.
// Private to vmm/boot; called by loader.cc and the loader of each kind on the control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "vmm/boot/loader.h"

namespace lodge {

// Puts a kernel at fixed addresses and everything else top-down below the end of low RAM.
class Placer {
 public:
  Placer(const GuestMemory& memory, uint64_t low_ram_end) : memory_(memory), top_(low_ram_end), limit_(low_ram_end) {}

  // Part of the kernel: data, then zeroes up to memory_size. Refused in boot data, the video hole or outside RAM.
  [[nodiscard]] Result<void> kernel_part(uint64_t at, std::span<const std::byte> data, uint64_t memory_size);
  // Keeps [at, at + size) free for a kernel that unpacks itself there.
  [[nodiscard]] Result<void> reserve_kernel(uint64_t at, uint64_t size);
  // Page-aligned, as high as possible, not above `highest` (inclusive), in a small guest also between 1 MiB and the kernel;
  // `what` and its size stand in the error.
  [[nodiscard]] Result<uint64_t> high(std::span<const std::byte> data, std::string_view what, uint64_t highest = UINT64_MAX);
  [[nodiscard]] const GuestMemory& memory() const { return memory_; }

 private:
  const GuestMemory& memory_;
  uint64_t top_;    // free below this
  uint64_t limit_;  // end of low RAM
  uint64_t kernel_begin_ = UINT64_MAX;
  uint64_t kernel_end_ = 0;  // free from here
  uint64_t below_ = 0;       // free below this, under the kernel; 0: nothing was put there yet
  uint64_t loaded_ = 0;      // sum of all parts, so that overlapping segments cannot keep us busy
};

// Bump allocation in the 64 KiB boot information area.
class InfoWriter {
 public:
  explicit InfoWriter(const GuestMemory& memory) : memory_(memory) {}
  // Reserves `size` bytes aligned to 8.
  [[nodiscard]] Result<Gpa> reserve(uint64_t size);
  // A zero-terminated string.
  [[nodiscard]] Result<Gpa> text(std::string_view value);

 private:
  const GuestMemory& memory_;
  uint64_t used_ = 0;
};

// A header in the first 8 KiB (Multiboot 1, section 3.1).
struct MultibootHeader {
  uint64_t offset = 0;  // in the file
  uint32_t flags = 0;
  uint32_t header_addr = 0;  // these when kMultibootAddresses is set
  uint32_t load_addr = 0;
  uint32_t load_end_addr = 0;
  uint32_t bss_end_addr = 0;
  uint32_t entry_addr = 0;
  uint32_t mode_type = 0;  // when kMultibootVideo is set
};
inline constexpr uint32_t kMultibootVideo = 1U << 2;
inline constexpr uint32_t kMultibootAddresses = 1U << 16;

[[nodiscard]] bool is_bzimage(std::span<const std::byte> image);
[[nodiscard]] std::optional<MultibootHeader> find_multiboot(std::span<const std::byte> image);

[[nodiscard]] Result<EntryState> load_bzimage(Placer& placer, const BootFiles& files, const BootTables& tables);
[[nodiscard]] Result<EntryState> load_pvh(Placer& placer, const BootFiles& files, const BootTables& tables);
[[nodiscard]] Result<EntryState> load_multiboot(Placer& placer, const MultibootHeader& header, const BootFiles& files,
                                                const BootTables& tables);

// Writes the command line, `limit` bytes at most without its terminating zero.
[[nodiscard]] Result<void> write_command_line(const GuestMemory& memory, std::string_view text, uint64_t limit);

// Writes GDT (and page tables) and gives the state that uses them.
[[nodiscard]] Result<EntryState> enter_long_mode(const GuestMemory& memory);
[[nodiscard]] Result<EntryState> enter_protected_mode(const GuestMemory& memory);

}  // namespace lodge
