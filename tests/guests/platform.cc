// What a board has besides: the generation ID in memory, a file of fw_cfg that is written, and with word "pc" an HPET and a
// printer.
#include "lib/check.h"
#include "lib/multiboot.h"

namespace {

constexpr uint32_t kHpet = 0xfed00000;
constexpr uint32_t kId = 0xef028;
constexpr uint16_t kFwCfg = 0x510;

uint32_t big(uint32_t value) { return __builtin_bswap32(value); }

void check_generation_id() {
  static const uint8_t kExpected[16] = {0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00};
  CHECK(same_bytes(reinterpret_cast<const void*>(kId), kExpected, sizeof kExpected));
}

// One request by DMA; the control word as it is answered.
uint32_t transfer(uint32_t control, void* address, uint32_t length) {
  static auto* request = static_cast<volatile uint32_t*>(allocate(16));
  request[0] = big(control);
  request[1] = big(length);
  request[2] = 0;
  request[3] = big(reinterpret_cast<uint32_t>(address));
  full_barrier();
  outl(kFwCfg + 4, 0);
  outl(kFwCfg + 8, big(reinterpret_cast<uint32_t>(request)));
  return big(request[0]);
}

void check_notes() {
  auto* file = static_cast<uint32_t*>(allocate(64));
  CHECK_EQ(transfer(0x19U << 16 | 8 | 2, file, 4), 0);
  CHECK_EQ(big(file[0]), 1);  // one file, whose key is 0x20
  CHECK_EQ(transfer(0x20U << 16 | 8 | 2, file, 16), 0);
  CHECK_EQ(file[0], 1);
  file[0] = 1U << 16 | 1;
  file[1] = 0x400;
  file[2] = 0x123000;
  file[3] = 0;
  CHECK_EQ(transfer(0x20U << 16 | 8 | 16, file, 16), 0);
  file[2] = 0;
  CHECK_EQ(transfer(0x20U << 16 | 8 | 2, file, 16), 0);
  CHECK_EQ(file[2], 0x123000);
  CHECK_EQ(transfer(0x20U << 16 | 8 | 16, file, 17), 1);  // it is no longer
}

uint32_t hpet(uint32_t at) { return mmio_read<uint32_t>(kHpet + at); }
void set_hpet(uint32_t at, uint32_t value) { mmio_write<uint32_t>(kHpet + at, value); }

// Against the timer of power management, 3.58 million ticks a second; levels are polled, nobody is interrupted.
void check_hpet() {
  CHECK_EQ(hpet(0), 0x8086a201);
  CHECK_EQ(hpet(4), 10000000);
  CHECK_EQ(hpet(0xf0), 0);
  set_hpet(0x10, 1);
  const uint32_t begin = hpet(0xf0);
  const uint32_t pm = inl(0x608);
  WAIT_FOR(inl(0x608) - pm > 358000);  // a tenth of a second
  const uint32_t ticks = hpet(0xf0) - begin;
  print("ticks in a tenth of a second: ", ticks, "\n");
  CHECK(ticks > 9990000 && ticks < 20000000);

  constexpr uint32_t kLevelTo2 = 2 << 9 | 1 << 8 | 4 | 2;  // 32 bits
  const auto arrived = [] { return (hpet(0x20) & 4) != 0; };
  set_hpet(0x140, kLevelTo2);
  const uint32_t due = hpet(0xf0) + 5000000;
  set_hpet(0x148, due);
  CHECK(!arrived());
  WAIT_FOR(arrived());
  CHECK(hpet(0xf0) - due < 0x80000000);  // not before
  set_hpet(0x20, 4);
  CHECK(!arrived());

  set_hpet(0x140, kLevelTo2 | 8 | 0x40);  // periodic
  set_hpet(0x148, hpet(0xf0) + 1000000);
  set_hpet(0x148, 2000000);
  for (int i = 0; i < 3; ++i) {
    WAIT_FOR(arrived());
    set_hpet(0x20, 4);
  }
  set_hpet(0x140, 0);
  set_hpet(0x10, 3);  // takes the 8254's interrupt,
  set_hpet(0x10, 0);  // and gives it back
  const uint32_t still = hpet(0xf0);
  CHECK_EQ(hpet(0xf0), still);
}

void check_printer() {
  outb(0x37a, 0x0c);
  for (const char* c = "printed by nobody's driver\n"; *c != 0; ++c) {
    WAIT_FOR((inb(0x379) & 0x80) != 0);
    outb(0x378, static_cast<uint8_t>(*c));
    CHECK_EQ(inb(0x378), static_cast<uint8_t>(*c));
    outb(0x37a, 0x0d);
    CHECK((inb(0x379) & 0x80) == 0);
    outb(0x37a, 0x0c);
    CHECK((inb(0x379) & 0x40) == 0);
    CHECK((inb(0x379) & 0x40) != 0);
  }
}

}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  check_generation_id();
  check_notes();
  if (has_word(info->command_line, "pc")) {
    check_hpet();
    check_printer();
  }
  pass();
}
