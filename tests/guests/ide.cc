// Writes a sector to an IDE disk word by word and then leaves the guest for nobody: only the kernel's interrupt controller is asked whether
// the disk has it. Then the sector is read back, and the last words of another are written one by one.
#include "lib/check.h"
#include "lib/multiboot.h"
#include "lib/pci.h"

namespace {

constexpr uint8_t kIde = 1 << 3 | 1;  // 00:01.1
constexpr uint16_t kData = 0x1f0;
constexpr uint16_t kStatus = 0x1f7;
constexpr uint16_t kWords = 256;
constexpr uint8_t kBusy = 0x80, kReady = 0x40, kDataRequest = 0x08, kError = 0x01;

void command(uint8_t code, uint8_t sector) {
  outb(0x1f2, 1);
  outb(0x1f3, sector);
  outb(0x1f4, 0);
  outb(0x1f5, 0);
  outb(0x1f6, 0xe0);
  outb(kStatus, code);
  WAIT_FOR((inb(kStatus) & kBusy) == 0);
  CHECK_EQ(inb(kStatus) & (kDataRequest | kError), kDataRequest);
}

void out_words(const uint16_t* from, uint32_t count) {
  asm volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(kData) : "memory");
}

// Interrupt 14 waits at the second 8259, which is in the kernel.
bool interrupt_waits() {
  outb(0xa0, 0x0a);
  return (inb(0xa0) & 0x40) != 0;
}

void wait_for_interrupt() {
  constexpr uint32_t kLong = 20'000'000;
  for (uint32_t i = 0; i < kLong; ++i) {
    if (interrupt_waits()) {
      return;
    }
  }
  fail_at(__FILE_NAME__, __LINE__, "no interrupt: the disk was not told of the last words");
}

uint16_t sent[kWords];
uint16_t got[kWords];

}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo*) {
  pci_by_ports = true;
  pci_write<uint16_t>(kIde, 4, 5);
  outb(0x3f6, 0);
  for (uint16_t i = 0; i < kWords; ++i) {
    sent[i] = static_cast<uint16_t>(i * 3 + 0x5a00);
  }
  command(0x30, 5);
  CHECK(!interrupt_waits());
  out_words(sent, kWords);
  wait_for_interrupt();
  CHECK_EQ(inb(kStatus) & (kBusy | kReady | kDataRequest | kError), kReady);

  command(0x20, 5);
  for (uint16_t& word : got) {
    word = inw(kData);
  }
  for (uint16_t i = 0; i < kWords; ++i) {
    CHECK_EQ(got[i], sent[i]);
  }

  // Of different widths, and a register in between, which is heard in its turn.
  command(0x30, 6);
  out_words(sent, kWords - 2);
  outb(0x1f3, 9);
  outl(kData, sent[kWords - 2] | uint32_t{sent[kWords - 1]} << 16);
  WAIT_FOR((inb(kStatus) & (kBusy | kDataRequest)) == 0);
  CHECK_EQ(inb(0x1f3), 9);
  pass();
}
