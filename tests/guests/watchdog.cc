// Begins to feed a watchdog and then does not. Words: "esb" (6300ESB, at the PCI bus) or nothing (IB700); tells on COM1 what
// comes of it (BUTTON, NMI), and switches itself off then.
#include "lib/check.h"
#include "lib/multiboot.h"
#include "lib/pci.h"

namespace {

constexpr uint32_t kBar = 0xd0000000;

[[noreturn]] void off(const char* why) {
  print(why, "\n");
  outw(0x604, 0x2000 | 1);
  for (;;) {
    asm volatile("hlt");
  }
}

extern "C" [[noreturn]] void nmi_came() { off("NMI"); }

struct __attribute__((packed)) Gate {
  uint16_t low, selector;
  uint8_t zero, kind;
  uint16_t high;
};
Gate gates[3];

// The non-maskable interrupt is the third exception.
void catch_nmi() {
  uint16_t selector = 0;
  asm volatile("mov %%cs, %0" : "=r"(selector));
  const auto at = reinterpret_cast<uint32_t>(&nmi_came);
  gates[2] = {static_cast<uint16_t>(at), selector, 0, 0x8e, static_cast<uint16_t>(at >> 16)};
  const struct __attribute__((packed)) {
    uint16_t limit;
    uint32_t base;
  } table{sizeof gates - 1, reinterpret_cast<uint32_t>(gates)};
  asm volatile("lidt %0" ::"m"(table));
}

void unlocked(uint32_t offset, uint32_t value) {
  mmio_write<uint16_t>(kBar + 0xc, 0x80);
  mmio_write<uint16_t>(kBar + 0xc, 0x86);
  mmio_write<uint32_t>(kBar + offset, value);
}

void start_esb() {
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    const auto at = static_cast<uint8_t>(devfn);
    if (pci_read<uint32_t>(at, 0) == 0x25ab8086) {
      pci_write<uint32_t>(at, 0x10, kBar);
      pci_write<uint16_t>(at, 4, 2);
      pci_write<uint16_t>(at, 0x60, 3);
      unlocked(0, 20);  // milliseconds of each stage
      unlocked(4, 20);
      pci_write<uint8_t>(at, 0x68, 2);
      return;
    }
  }
  fail_at(__FILE_NAME__, __LINE__, "there is no 6300ESB");
}

}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  pci_by_ports = true;
  catch_nmi();
  outb(0xb2, 0xf1);  // ACPI: the power button is a status bit
  print("STARTED\n");
  if (has_word(info->command_line, "esb")) {
    start_esb();
  } else {
    outb(0x443, 0xf);
  }
  for (;;) {
    if ((inw(0x600) & 0x100) != 0) {
      off("BUTTON");
    }
  }
}
