// PCI hotplug from the guest's side, without ACPI's interpreter: news, a request that is ignored, one that is refused, one
// that is followed; ejections of what cannot be ejected. The host's part is in cases.py.
#include "lib/virtio.h"

namespace {

constexpr uint8_t kSlot = 5;
constexpr uint8_t kDevfn = kSlot * 8;

uint32_t read_register(uint32_t offset) {
  return pci_by_ports ? inl(static_cast<uint16_t>(0xae00 + offset)) : mmio_read<uint32_t>(0xfeb01000 + offset);
}

void eject(uint32_t slots) {
  if (pci_by_ports) {
    outl(0xae08, slots);
  } else {
    mmio_write<uint32_t>(0xfeb01008, slots);
  }
}

void tell(uint8_t offset, uint8_t value) {
  if (pci_by_ports) {
    outb(static_cast<uint16_t>(0xae00 + offset), value);
  } else {
    mmio_write<uint8_t>(0xfeb01000 + offset, value);
  }
}

// Takes the event away, as the handler would.
bool event() {
  if (!pci_by_ports) {
    return (mmio_read<uint32_t>(0xfeb00004) & 2) != 0;
  }
  if ((inb(0xafe0) & 2) == 0) {
    return false;
  }
  outb(0xafe0, 2);
  return true;
}

void wait_for_request() {
  while (!event()) {
    (void)inb(kCom1 + 5);
  }
  CHECK_EQ(read_register(4), 1U << kSlot);
  CHECK_EQ(read_register(4), 0);
  CHECK_EQ(read_register(0), 0);
}

}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  pci_by_ports = has_word(info->command_line, "pc");
  CHECK_EQ(pci_read<uint32_t>(kDevfn, 0), 0xffffffff);
  print("READY\n");
  while (!event()) {
    (void)inb(kCom1 + 5);
  }
  CHECK_EQ(read_register(0), 1U << kSlot);
  CHECK_EQ(read_register(0), 0);
  CHECK_EQ(pci_read<uint16_t>(kDevfn, 0), 0x1af4);
  if (has_word(info->command_line, "busy")) {  // its driver is at work when it is thrown out
    Virtio virtio(VirtioChoice(info->command_line), 2);
    Ring ring;
    virtio.negotiate(0);
    virtio.add_queue(ring, 0, 16);
    virtio.start();
    print("CAME\n");
    wait_for_request();
    eject(1U << kSlot);
    CHECK_EQ(pci_read<uint32_t>(kDevfn, 0), 0xffffffff);
    CHECK_EQ(mmio_read<uint32_t>(virtio.bars[4].address), 0xffffffff);
    print("GONE\n");
  } else {
    print("CAME\n");
    wait_for_request();
    print("IGNORED\n");
    wait_for_request();
    tell(0x0c, 3);
    tell(0x0d, 0x81);
    tell(0x0e, kSlot);
    print("REFUSED\n");
    wait_for_request();
    CHECK_EQ(pci_read<uint16_t>(kDevfn, 0), 0x1af4);
    eject(~(1U << kSlot));  // the bridge, the random numbers, and what is not there
    CHECK_EQ(pci_read<uint16_t>(0, 0), pci_by_ports ? 0x8086 : 0x1b36);
    CHECK_EQ(pci_read<uint16_t>(4 * 8, 0), 0x1af4);
    CHECK_EQ(pci_read<uint16_t>(kDevfn, 0), 0x1af4);
    eject(1U << kSlot);
    CHECK_EQ(pci_read<uint32_t>(kDevfn, 0), 0xffffffff);
    eject(1U << kSlot);
    print("GONE\n");
  }
  while (!event()) {  // the next one comes
    (void)inb(kCom1 + 5);
  }
  CHECK_EQ(read_register(0), 1U << kSlot);
  CHECK_EQ(pci_read<uint16_t>(kDevfn, 0), 0x1af4);
  pass();
}
