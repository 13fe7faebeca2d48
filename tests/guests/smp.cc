// A second vCPU: started by INIT and SIPI through the local APIC, then counting together with the first.
#include "lib/check.h"
#include "lib/multiboot.h"

namespace {
constexpr uint32_t kApic = 0xfee00000;
constexpr uint32_t kTrampoline = 0x8000;
volatile uint32_t counter;
volatile uint32_t second_is_here;
volatile uint32_t go;

void add(uint32_t times) {
  for (uint32_t i = 0; i < times; ++i) {
    asm volatile("lock; incl %0" : "+m"(counter)::"memory", "cc");
  }
}
void send(uint32_t command, uint32_t target) {
  mmio_write<uint32_t>(kApic + 0x310, target << 24);
  mmio_write<uint32_t>(kApic + 0x300, command);
  WAIT_FOR((mmio_read<uint32_t>(kApic + 0x300) & 0x1000) == 0);
}
}  // namespace

extern "C" [[noreturn]] void second_main() {
  second_is_here = (mmio_read<uint32_t>(kApic + 0x20) >> 24) + 1;
  while (go == 0) {
    (void)inb(kCom1 + 5);
  }
  add(20000);
  second_is_here = 100;
  for (;;) {
    asm volatile("cli; hlt");
  }
}

// The trampoline is real-mode code at kTrampoline: load a flat table, enter protected mode, go to second_main.
asm(R"(
    .section .rodata
    .globl trampoline, trampoline_end
trampoline:
    .code16
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl 0x8000 + (table_pointer - trampoline)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $0x8000 + (enter - trampoline)
    .code32
enter:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x9f000, %esp
    movl $second_main, %eax
    call *%eax
    .balign 8
table:
    .quad 0
    .quad 0x00cf9a000000ffff
    .quad 0x00cf92000000ffff
table_pointer:
    .word 23
    .long 0x8000 + (table - trampoline)
trampoline_end:
    .text
)");
extern "C" const char trampoline[], trampoline_end[];

extern "C" void guest_main(uint32_t, const MultibootInfo*) {
  print("smp: start\n");
  CHECK_EQ(mmio_read<uint32_t>(kApic + 0x20) >> 24, 0);
  mmio_write<uint32_t>(kApic + 0xf0, 0x1ff);
  memcpy(reinterpret_cast<void*>(kTrampoline), trampoline, static_cast<size_t>(trampoline_end - trampoline));
  send(0x4500, 1);                      // INIT
  send(0x4600 | kTrampoline >> 12, 1);  // SIPI
  WAIT_FOR(second_is_here != 0);
  CHECK_EQ(second_is_here, 2);  // its APIC id is 1
  print("second vCPU is here\n");
  go = 1;
  add(20000);
  WAIT_FOR(second_is_here == 100);
  CHECK_EQ(counter, 40000);
  // INIT again stops it; it can be started anew.
  second_is_here = 0;
  send(0x4500, 1);
  send(0x4600 | kTrampoline >> 12, 1);
  WAIT_FOR(second_is_here == 100);
  CHECK_EQ(counter, 60000);
  pass();
}
