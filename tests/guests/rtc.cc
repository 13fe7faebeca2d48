// The CMOS clock of the pc machine, as a guest sees it. The runner gives the host's time.
#include "lib/check.h"
#include "lib/multiboot.h"

namespace {
uint8_t get(uint8_t index) {
  outb(0x70, index);
  return inb(0x71);
}
void set(uint8_t index, uint8_t value) {
  outb(0x70, index);
  outb(0x71, value);
}
uint32_t decimal(const char* text) {
  uint32_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) {
    value = value * 10 + static_cast<uint32_t>(*text - '0');
  }
  return value;
}
bool bcd(uint8_t value) { return (value & 15) < 10 && value >> 4 < 10; }
uint8_t binary(uint8_t value) { return static_cast<uint8_t>((value >> 4) * 10 + (value & 15)); }
}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  print("rtc: ", info->command_line, "\n");
  CHECK_EQ(inb(0x70), 0xff);
  CHECK_EQ(get(0x0b), 0x02);  // BCD, 24 hours
  CHECK_EQ(get(0x0d), 0x80);
  CHECK_EQ(get(0x0a) & 0x80, 0);
  const uint8_t registers[] = {0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x32};
  for (const uint8_t index : registers) {
    CHECK(bcd(get(index)));
  }
  // The command line is the year and the minute of the day on the host, in UTC.
  CHECK_EQ(binary(get(0x32)) * 100U + binary(get(0x09)), decimal(info->command_line));
  const char* minutes = info->command_line;
  while (*minutes++ != ' ') {
  }
  const uint32_t host = decimal(minutes);
  const uint32_t guest = binary(get(0x04)) * 60U + binary(get(0x02));
  CHECK(guest == host || guest == (host + 1) % 1440 || guest == (host + 2) % 1440);

  uint8_t last;
  do {  // BCD and binary read in the same second
    last = get(0x00);
    set(0x0b, 0x06);
    CHECK_EQ(get(0x0b), 0x06);
    const uint8_t seconds = get(0x00);
    set(0x0b, 0x02);
    if (get(0x00) == last) {
      CHECK_EQ(seconds, binary(last));
      break;
    }
  } while (true);
  WAIT_FOR(get(0x00) != last);  // it runs

  // Setting the time, held meanwhile.
  set(0x0b, 0x82);
  set(0x00, 0x58);
  set(0x02, 0x59);
  set(0x04, 0x23);
  set(0x07, 0x28);
  set(0x08, 0x02);
  set(0x09, 0x24);
  set(0x32, 0x20);
  for (int i = 0; i < 1000; ++i) {
    CHECK_EQ(get(0x00), 0x58);
  }
  set(0x0b, 0x02);
  WAIT_FOR(get(0x07) == 0x29);  // a leap year
  CHECK_EQ(get(0x04), 0);
  CHECK_EQ(get(0x06), 5);  // a Thursday

  for (uint8_t index = 0x10; index < 0x80; ++index) {
    if (index != 0x32) {
      set(index, static_cast<uint8_t>(index ^ 0xff));
    }
  }
  for (uint8_t index = 0x10; index < 0x80; ++index) {
    if (index != 0x32) {
      CHECK_EQ(get(index), index ^ 0xff);
      CHECK_EQ(get(index | 0x80), index ^ 0xff);  // bit 7 masks NMIs only
    }
  }
  set(0x0d, 0);
  CHECK_EQ(get(0x0d), 0x80);
  pass();
}
