// Sleeps for ever: for tests of what is around a guest.
#include "lib/check.h"
#include "lib/multiboot.h"

extern "C" void guest_main(uint32_t, const MultibootInfo*) {
  while (true) {
    asm volatile("cli; hlt");
  }
}
