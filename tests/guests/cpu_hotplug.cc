// CPU hotplug from the guest's side, without ACPI's interpreter: a vCPU comes, a request is refused, the next is followed,
// it comes again; ejections of what cannot be ejected. The host's part is in cases.py.
#include "lib/check.h"
#include "lib/multiboot.h"

namespace {

bool by_ports = false;
constexpr uint32_t kPresent = 0x0f;
constexpr uint32_t kCame = 1U << 24 | 1;
constexpr uint32_t kShallGo = 3U << 24 | 1;

uint32_t get(uint32_t offset) {
  return by_ports ? inl(static_cast<uint16_t>(0xad00 + offset)) : mmio_read<uint32_t>(0xfeb02000 + offset);
}

void set(uint32_t offset, uint32_t value) {
  if (by_ports) {
    outl(static_cast<uint16_t>(0xad00 + offset), value);
  } else {
    mmio_write<uint32_t>(0xfeb02000 + offset, value);
  }
}

uint32_t status(uint32_t cpu) {
  set(0x00, cpu);
  return get(0x04);
}

// Takes the event away, as the handler would.
bool event() {
  if (!by_ports) {
    return (mmio_read<uint32_t>(0xfeb00004) & 4) != 0;
  }
  if ((inb(0xafe0) & 4) == 0) {
    return false;
  }
  outb(0xafe0, 4);
  return true;
}

void wait_for(uint32_t news) {
  while (!event()) {
    (void)inb(kCom1 + 5);
  }
  CHECK_EQ(get(0x08), news);
  CHECK_EQ(get(0x08), 0);
}

}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  by_ports = has_word(info->command_line, "pc");
  CHECK_EQ(status(0), kPresent);
  CHECK_EQ(status(1), 0);
  CHECK_EQ(status(2), 0);
  print("READY\n");
  wait_for(kCame);
  CHECK_EQ(status(1), kPresent);
  print("CAME\n");
  wait_for(kShallGo);
  set(0x00, 1);
  set(0x10, 3);
  set(0x14, 0x81);
  CHECK_EQ(status(1), kPresent);
  print("REFUSED\n");
  wait_for(kShallGo);
  constexpr uint32_t kStays[] = {0, 2, 0xffffffff};
  for (const uint32_t cpu : kStays) {
    set(0x00, cpu);
    set(0x0c, 1);
  }
  CHECK_EQ(status(0), kPresent);
  set(0x00, 1);
  set(0x0c, 1);
  CHECK_EQ(status(1), 0);
  set(0x0c, 1);
  print("GONE\n");
  wait_for(kCame);
  CHECK_EQ(status(1), kPresent);
  pass();
}
