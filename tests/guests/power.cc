// Power: PM timer, sleep, and the ways to reset. Boots are counted on disk sector 0, since a reset clears the rest.
#include "lib/virtio.h"

namespace {

constexpr uint32_t kReducedPower = 0xfeb00000;

struct Disk {
  explicit Disk(const char* words) : virtio(VirtioChoice(words), 2) {
    virtio.negotiate(0);
    virtio.add_queue(ring, 0, 16);
    virtio.start();
    header = static_cast<uint32_t*>(allocate(16));
    sector = static_cast<uint32_t*>(allocate(1024));
  }
  void transfer(bool write) {
    header[0] = write ? 1 : 0;
    header[2] = header[3] = 0;
    auto* status = reinterpret_cast<uint8_t*>(sector) + 512;
    *status = 0xee;
    const Buffer buffers[] = {{header, 16, false}, {sector, 512, !write}, {status, 1, true}};
    (void)virtio.request(ring, 0, buffers, 3);
    CHECK_EQ(*status, 0);
  }
  Virtio virtio;
  Ring ring;
  uint32_t* header;
  uint32_t* sector;
};

void check_timer() {
  const uint32_t first = inl(0x608);
  uint32_t last = first;
  for (int i = 0; i < 1000; ++i) {
    const uint32_t now = inl(0x608);
    CHECK(now - last < 0x80000000);  // never back
    last = now;
  }
  CHECK(last != first);
  // Against the clock: a second is 3.58 million ticks.
  outb(0x70, 0);
  const auto second = [] { return inb(0x71); };
  uint8_t at = second();
  WAIT_FOR(second() != at);
  const uint32_t begin = inl(0x608);
  at = second();
  WAIT_FOR(second() != at);
  const uint32_t ticks = inl(0x608) - begin;
  print("ticks in a second: ", ticks, "\n");
  CHECK(ticks > 2500000 && ticks < 5500000);
}

[[noreturn]] void stop_here() {
  // What comes after a power event must not run.
  for (int i = 0; i < 1000; ++i) {
    (void)inb(kCom1 + 5);
  }
  fail_at(__FILE_NAME__, __LINE__, "the guest is still running");
}

[[noreturn]] void triple_fault() {
  const struct __attribute__((packed)) {
    uint16_t limit;
    uint32_t base;
  } none{0, 0};
  asm volatile("lidt %0; ud2" ::"m"(none));
  stop_here();
}
}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  const char* words = info->command_line;
  print("power: ", words, "\n");
  const VirtioChoice choice(words);
  if (has_word(words, "panic")) {
    CHECK_EQ(inb(0x505), 3);
    outb(0x505, 2);  // a crash kernel is there: the guest goes on
    print("BYE\n");
    outb(0x505, 1);
    stop_here();
  }
  if (has_word(words, "off")) {
    if (pci_by_ports) {
      check_timer();
      outb(0xb2, 0xf1);
      CHECK_EQ(inw(0x604) & 1, 1);
      print("BYE\n");
      outw(0x604, 0x2000 | 1);
    } else {
      CHECK_EQ(mmio_read<uint32_t>(kReducedPower + 4), 0);
      print("BYE\n");
      mmio_write<uint8_t>(kReducedPower, 0x34);
    }
    stop_here();
  }
  Disk disk(words);
  disk.transfer(false);
  print("boot number ", disk.sector[0], "\n");
  if (disk.sector[0] >= 3) {
    pass();
  }
  ++disk.sector[0];
  disk.transfer(true);
  if (has_word(words, "cf9")) {
    outb(0xcf9, 0x02);
    outb(0xcf9, 0x06);
  } else if (has_word(words, "keyboard")) {
    outb(0x64, 0xfe);
  } else if (has_word(words, "triple")) {
    triple_fault();
  } else {
    mmio_write<uint8_t>(kReducedPower + 2, 1);
  }
  stop_here();
}
