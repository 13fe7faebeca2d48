// The 16550 on COM1 (where we print, with care) and COM2 (whose output goes to a file, or whose socket the runner echoes).
#include "lib/check.h"
#include "lib/multiboot.h"

namespace {
constexpr uint16_t kCom2 = 0x2f8;
enum : uint16_t { kData, kIer, kIir, kLcr, kMcr, kLsr, kMsr, kScratch };

void put2(uint8_t value) {
  while ((inb(kCom2 + kLsr) & 0x20) == 0) {
  }
  outb(kCom2, value);
}

void registers() {
  for (uint32_t i = 0; i < 256; ++i) {
    outb(kCom2 + kScratch, static_cast<uint8_t>(i));
    CHECK_EQ(inb(kCom2 + kScratch), i);
  }
  outb(kCom2 + kIer, 0xff);
  CHECK_EQ(inb(kCom2 + kIer), 0x0f);  // the upper four bits are always 0
  outb(kCom2 + kIer, 0);
  outb(kCom2 + kMcr, 0xff);
  CHECK_EQ(inb(kCom2 + kMcr), 0x1f);
  outb(kCom2 + kMcr, 0);
  // The divisor is behind bit 7 of LCR; the registers below it are untouched by it.
  outb(kCom2 + kIer, 5);
  outb(kCom2 + kLcr, 0x83);
  outb(kCom2 + kData, 0x0c);
  outb(kCom2 + kIer, 0x01);
  CHECK_EQ(inb(kCom2 + kData), 0x0c);
  CHECK_EQ(inb(kCom2 + kIer), 0x01);
  outb(kCom2 + kData, 1);
  outb(kCom2 + kIer, 0);
  outb(kCom2 + kLcr, 3);
  CHECK_EQ(inb(kCom2 + kLcr), 3);
  CHECK_EQ(inb(kCom2 + kIer), 5);
  outb(kCom2 + kIer, 0);
  CHECK_EQ(inb(kCom2 + kLsr) & 0x60, 0x60);
  CHECK_EQ(inb(kCom2 + kMsr) & 0xb0, 0xb0);  // someone is connected
}

void fifo_and_loopback() {
  outb(kCom2 + kIir, 0x07);  // FIFOs on and empty
  CHECK_EQ(inb(kCom2 + kIir) & 0xc0, 0xc0);
  outb(kCom2 + kMcr, 0x10);  // loopback
  for (uint8_t i = 0; i < 16; ++i) {
    outb(kCom2 + kMcr, 0x10 | i);  // DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD
    const uint8_t expected = static_cast<uint8_t>((i & 1) << 5 | (i & 2) << 3 | (i & 0xc) << 4);
    CHECK_EQ(inb(kCom2 + kMsr) & 0xf0, expected);
  }
  outb(kCom2 + kMcr, 0x10);
  CHECK_EQ(inb(kCom2 + kLsr) & 1, 0);
  for (uint8_t i = 0; i < 16; ++i) {
    outb(kCom2, static_cast<uint8_t>(0xa0 + i));
  }
  CHECK_EQ(inb(kCom2 + kLsr) & 3, 1);
  outb(kCom2, 0xff);  // one too many
  CHECK_EQ(inb(kCom2 + kLsr) & 3, 3);
  CHECK_EQ(inb(kCom2 + kLsr) & 3, 1);  // reading cleared the overrun
  for (uint8_t i = 0; i < 16; ++i) {
    CHECK_EQ(inb(kCom2), 0xa0 + i);
  }
  CHECK_EQ(inb(kCom2 + kLsr) & 1, 0);
  outb(kCom2, 1);
  outb(kCom2 + kIir, 0x03);  // clears the receive FIFO
  CHECK_EQ(inb(kCom2 + kLsr) & 1, 0);

  // Interrupt identification by priority: line status, data, transmitter.
  outb(kCom2 + kIer, 0x07);
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 2);  // the transmitter became empty
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 1);  // reading it cleared it
  outb(kCom2, 0x55);
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 4);
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 4);
  CHECK_EQ(inb(kCom2), 0x55);
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 2);
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 1);
  for (uint8_t i = 0; i < 17; ++i) {
    outb(kCom2, i);
  }
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 6);
  (void)inb(kCom2 + kLsr);
  CHECK_EQ(inb(kCom2 + kIir) & 0x0f, 4);
  outb(kCom2 + kIer, 0);
  outb(kCom2 + kIir, 0x03);
  // Without FIFOs one byte fits.
  outb(kCom2 + kIir, 0);
  CHECK_EQ(inb(kCom2 + kIir) & 0xc0, 0);
  outb(kCom2, 1);
  outb(kCom2, 2);
  CHECK_EQ(inb(kCom2 + kLsr) & 3, 3);
  (void)inb(kCom2);
  CHECK_EQ(inb(kCom2 + kLsr) & 1, 0);
  outb(kCom2 + kMcr, 0x0b);
  outb(kCom2 + kIir, 0x07);
}

// 64 KiB that the runner compares.
void long_output() {
  Random random;
  for (uint32_t i = 0; i < 65536; ++i) {
    put2(static_cast<uint8_t>(random.next() >> 8));
  }
}

// Everything the runner sends comes back plus one, until a zero byte.
void echo() {
  outb(kCom2 + kIir, 0x07);
  put2('?');  // ready
  uint32_t count = 0;
  for (;;) {
    WAIT_FOR((inb(kCom2 + kLsr) & 1) != 0);
    const uint8_t byte = inb(kCom2);
    if (byte == 0) {
      break;
    }
    put2(static_cast<uint8_t>(byte + 1));
    ++count;
  }
  CHECK_EQ(count, 3000);
}

// Input is on its way while the FIFO is cleared, as operating systems do at their start: later input still arrives.
void clear_while_input_waits() {
  outb(kCom2 + kIir, 0);  // no FIFO: the second byte waits outside
  while ((inb(kCom2 + kLsr) & 1) == 0) {
  }  // the runner's first byte: output before it is connected would be dropped
  (void)inb(kCom2 + kData);
  put2('?');
  WAIT_FOR((inb(kCom2 + kLsr) & 1) != 0);
  for (int i = 0; i < 2000; ++i) {
    (void)inb(kCom2 + kLsr);
  }
  outb(kCom2 + kIir, 0x07);
  put2('.');
  uint8_t byte = 1;
  while (byte != 0) {
    WAIT_FOR((inb(kCom2 + kLsr) & 1) != 0);
    byte = inb(kCom2);
  }
  put2('!');
}
}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  print("serial: start\n");
  if (has_word(info->command_line, "echo")) {
    clear_while_input_waits();
    echo();
  } else {
    registers();
    fifo_and_loopback();
    long_output();
  }
  pass();
}
