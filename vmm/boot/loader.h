// Direct kernel boot: puts a kernel, its initrd, command line and boot information into guest RAM and says in which state
// the first vCPU starts. Called by the machine on the control thread, before the first KVM_RUN and again at a reset.
//
// Kinds: Linux bzImage by the 64-bit boot protocol (kernel Documentation/arch/x86/boot.rst), ELF with a PVH note (Xen's
// hvm start info v1), ELF32 or flat image with a Multiboot 1 header (Multiboot specification 0.6.96).
// File contents are hostile: every offset and size is checked; errors do not name the file, the caller adds the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/memory/guest_memory.h"
#include "base/result.h"
#include "base/units.h"
#include "vmm/boot/e820.h"

namespace lodge {

struct BootModule {
  std::span<const std::byte> data;
  std::string text;  // the module's own command line
};

// The spans stay the caller's and must live until load_kernel returns.
struct BootFiles {
  std::span<const std::byte> kernel;
  std::span<const std::byte> initrd;  // empty: none
  std::string command_line;
  std::vector<BootModule> modules;  // Multiboot and PVH only; they follow the initrd
};

struct BootTables {
  std::vector<E820Entry> e820;
  uint64_t low_ram_end = 0;  // nothing is loaded at or above this (pass AcpiImage::high_base when it has a size)
  Gpa rsdp;                  // 0 when the machine has no ACPI
};

enum class KernelKind : uint8_t { bzimage, pvh, multiboot };

// One segment register as a vCPU holds it.
struct SegmentState {
  uint16_t selector = 0;
  uint64_t base = 0;
  uint32_t limit = 0;
  uint8_t type = 0;          // the four type bits
  bool code_or_data = true;  // the S bit
  bool long_mode = false;    // L
  bool default_32 = false;   // D/B
  bool granular = false;     // G
};

// All that differs from a vCPU's reset state. Other general registers are 0, rflags is 2.
struct EntryState {
  enum class Mode : uint8_t { long64, protected32 };
  Mode mode = Mode::long64;
  KernelKind kind = KernelKind::bzimage;
  uint64_t rip = 0;
  uint64_t rax = 0;
  uint64_t rbx = 0;
  uint64_t rsi = 0;
  uint64_t rsp = 0;
  uint64_t cr0 = 0;
  uint64_t cr3 = 0;
  uint64_t cr4 = 0;
  uint64_t efer = 0;
  uint64_t gdt_base = 0;
  uint16_t gdt_limit = 0;
  uint16_t idt_limit = 0;  // base 0
  SegmentState code;       // cs
  SegmentState data;       // ds, es, fs, gs, ss
  SegmentState task;       // tr
};

// The kind of an image by its contents, or an error that says what is missing ("neither bzImage, PVH ELF nor Multiboot").
[[nodiscard]] Result<KernelKind> recognise_kernel(std::span<const std::byte> image);

[[nodiscard]] Result<EntryState> load_kernel(const GuestMemory& memory, const BootFiles& files, const BootTables& tables);

}  // namespace lodge
