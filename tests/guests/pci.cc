// PCI: enumeration, headers, BAR sizing and moving, decode bits, capability lists, MSI-X table and pending bits, garbage.
#include "lib/virtio.h"

namespace {

void enumerate(bool pc) {
  unsigned found = 0;
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    const auto at = static_cast<uint8_t>(devfn);
    const auto id = pci_read<uint32_t>(at, 0);
    if (id == 0xffffffff) {
      CHECK_EQ(pci_read<uint32_t>(at, 8), 0xffffffff);
      CHECK_EQ(pci_read<uint8_t>(at, 0x0e), 0xff);
      pci_write<uint32_t>(at, 0x10, 0x12345678);  // nobody minds
      continue;
    }
    ++found;
    print("function ", devfn, ": ", id, " class ", pci_read<uint32_t>(at, 8) >> 8, "\n");
    // The same bytes whatever the access size.
    for (uint16_t offset = 0; offset < 256; offset = static_cast<uint16_t>(offset + 4)) {
      const auto whole = pci_read<uint32_t>(at, offset);
      for (uint16_t i = 0; i < 4; ++i) {
        CHECK_EQ(pci_read<uint8_t>(at, static_cast<uint16_t>(offset + i)), whole >> (8 * i) & 0xff);
      }
      CHECK_EQ(pci_read<uint16_t>(at, offset), whole & 0xffff);
      CHECK_EQ(pci_read<uint16_t>(at, static_cast<uint16_t>(offset + 2)), whole >> 16);
    }
    CHECK_EQ(pci_read<uint8_t>(at, 0x0e) & 0x7f, 0);
    for (uint8_t cap = pci_capability(at, 0xff); cap != 0;) {  // walks the whole list: it ends
      CHECK(false);
    }
    if (devfn != 0) {  // identity is read-only
      pci_write<uint32_t>(at, 0, 0);
      pci_write<uint32_t>(at, 8, 0);
      pci_write<uint32_t>(at, 0x2c, 0xffffffff);
      CHECK_EQ(pci_read<uint32_t>(at, 0), id);
    }
  }
  CHECK(found >= (pc ? 4U : 2U));
  if (pc) {
    CHECK_EQ(pci_read<uint32_t>(0, 0), 0x12378086);
    CHECK_EQ(pci_read<uint32_t>(8, 0), 0x70008086);
    CHECK_EQ(pci_read<uint8_t>(8, 0x0e), 0x80);  // more functions follow
    CHECK_EQ(pci_read<uint32_t>(11, 0), 0x71138086);
    // The address register: 32-bit accesses only, disabled without bit 31.
    outl(0xcf8, 0x80000000);
    CHECK_EQ(inl(0xcf8), 0x80000000);
    outb(0xcf8, 0x55);
    outw(0xcf8, 0x5555);
    CHECK_EQ(inl(0xcf8), 0x80000000);
    outl(0xcf8, 0);
    CHECK_EQ(inl(0xcfc), 0xffffffff);
    outl(0xcf8, 0x80010000);  // bus 1 does not exist
    CHECK_EQ(inl(0xcfc), 0xffffffff);
  }
}

void bars_and_decode(Virtio& virtio) {
  const uint8_t at = virtio.devfn;
  const uint32_t first = virtio.bars[4].address;
  CHECK_EQ(virtio.bars[4].size, 0x4000);
  CHECK(virtio.bars[4].wide);
  CHECK_EQ(virtio.bars[1].size, 0x10000);
  CHECK_EQ(mmio_read<uint16_t>(virtio.common + Virtio::kQueueCount), 2);
  // Moved, the registers answer at the new place only.
  const uint32_t second = 0xd0000000;
  pci_write<uint32_t>(at, 0x20, second);
  CHECK_EQ(pci_read<uint32_t>(at, 0x20) & ~15U, second);
  CHECK_EQ(mmio_read<uint16_t>(second + Virtio::kQueueCount), 2);
  CHECK_EQ(mmio_read<uint16_t>(first + Virtio::kQueueCount), 0xffff);
  // Without memory decoding nothing answers.
  pci_write<uint16_t>(at, 4, 0x405);
  CHECK_EQ(mmio_read<uint32_t>(second), 0xffffffff);
  pci_write<uint16_t>(at, 4, 0x407);
  CHECK_EQ(mmio_read<uint16_t>(second + Virtio::kQueueCount), 2);
  // Sizing while decoding is on, as some systems do.
  pci_write<uint32_t>(at, 0x20, 0xffffffff);
  pci_write<uint32_t>(at, 0x24, 0xffffffff);
  CHECK_EQ(pci_read<uint32_t>(at, 0x20), 0xffffc00c);
  CHECK_EQ(pci_read<uint32_t>(at, 0x24), 0xffffffff);
  pci_write<uint32_t>(at, 0x20, first);
  pci_write<uint32_t>(at, 0x24, 0);
  CHECK_EQ(mmio_read<uint16_t>(first + Virtio::kQueueCount), 2);
  // Onto RAM, onto another BAR, onto the interrupt controllers: no harm.
  const uint32_t bad_places[] = {0x200000, virtio.bars[1].address, 0xfee00000, 0xfec00000, 0xe0000000, 0xffffc000, 0};
  for (const uint32_t bad : bad_places) {
    pci_write<uint32_t>(at, 0x20, bad);
    (void)mmio_read<uint32_t>(bad == 0 ? first : bad);
  }
  CHECK_EQ(mmio_read<uint32_t>(0x100000), 0x1badb002);  // our own header, still RAM
  pci_write<uint32_t>(at, 0x20, first);
  CHECK_EQ(mmio_read<uint16_t>(first + Virtio::kQueueCount), 2);
}

// MSI-X interrupts arrive in the local APIC as pending bits; interrupts are off, so they stay there.
bool pending_in_apic(uint8_t vector) {
  return (mmio_read<uint32_t>(0xfee00200 + (vector / 32U) * 0x10) >> (vector % 32) & 1) != 0;
}

void msix(Virtio& virtio) {
  mmio_write<uint32_t>(0xfee000f0, 0x1ff);  // the local APIC on
  const uint8_t cap = pci_capability(virtio.devfn, 0x11);
  CHECK(cap != 0);
  const unsigned vectors = (pci_read<uint16_t>(virtio.devfn, static_cast<uint16_t>(cap + 2)) & 0x7ff) + 1U;
  CHECK_EQ(vectors, 3);
  const uint32_t table = virtio.bars[1].address + (pci_read<uint32_t>(virtio.devfn, static_cast<uint16_t>(cap + 4)) & ~7U);
  const uint32_t pba = virtio.bars[1].address + (pci_read<uint32_t>(virtio.devfn, static_cast<uint16_t>(cap + 8)) & ~7U);
  for (unsigned i = 0; i < vectors; ++i) {
    CHECK_EQ(mmio_read<uint32_t>(table + 16 * i + 12), 1);  // masked at first
    mmio_write<uint32_t>(table + 16 * i, 0xfee00000);
    mmio_write<uint32_t>(table + 16 * i + 4, 0);
    mmio_write<uint32_t>(table + 16 * i + 8, 0x50 + i);
    CHECK_EQ(mmio_read<uint32_t>(table + 16 * i + 8), 0x50 + i);
  }
  CHECK_EQ(mmio_read<uint32_t>(table + 16 * vectors), 0);  // behind the table
  mmio_write<uint32_t>(pba, 0xffffffff);                   // read-only
  CHECK_EQ(mmio_read<uint32_t>(pba), 0);
  pci_write<uint16_t>(virtio.devfn, static_cast<uint16_t>(cap + 2), 0x8000);
  CHECK_EQ(pci_read<uint16_t>(virtio.devfn, static_cast<uint16_t>(cap + 2)), 0x8002);

  virtio.negotiate(0);
  static Ring ring;
  virtio.add_queue(ring, 0, 64);
  mmio_write<uint16_t>(virtio.common + Virtio::kQueueVector, 1);
  CHECK_EQ(mmio_read<uint16_t>(virtio.common + Virtio::kQueueVector), 1);
  mmio_write<uint16_t>(virtio.common + Virtio::kConfigVector, 99);  // no such vector
  CHECK_EQ(mmio_read<uint16_t>(virtio.common + Virtio::kConfigVector), 0xffff);
  virtio.start();
  auto* header = static_cast<uint32_t*>(allocate(16));
  auto* data = static_cast<uint8_t*>(allocate(4096));
  header[0] = 0;
  const Buffer read[] = {{header, 16, false}, {data, 512, true}, {data + 1024, 1, true}};
  (void)virtio.request(ring, 0, read, 3);
  WAIT_FOR((mmio_read<uint32_t>(pba) & 2) != 0);  // masked: remembered
  CHECK(!pending_in_apic(0x51));
  CHECK_EQ(virtio.take_isr(), 0);
  pci_write<uint16_t>(virtio.devfn, static_cast<uint16_t>(cap + 2), 0xc000);  // and the whole function masked
  mmio_write<uint32_t>(table + 16 + 12, 0);
  for (int i = 0; i < 50; ++i) {
    CHECK(!pending_in_apic(0x51));
  }
  pci_write<uint16_t>(virtio.devfn, static_cast<uint16_t>(cap + 2), 0x8000);
  WAIT_FOR(pending_in_apic(0x51));
  CHECK_EQ(mmio_read<uint32_t>(pba), 0);
  mmio_write<uint32_t>(table + 16 + 8, 0x63);  // changed while unmasked
  ring.want_interrupts(true);
  (void)virtio.request(ring, 0, read, 3);
  WAIT_FOR(pending_in_apic(0x63));
  virtio.reset();
  pci_write<uint16_t>(virtio.devfn, static_cast<uint16_t>(cap + 2), 0);
}

// The window into the registers through configuration space (virtio 1.2 section 4.1.4.9).
void access_window(Virtio& virtio) {
  uint8_t at = 0;
  for (uint8_t cap = pci_capability(virtio.devfn, 9); cap != 0; cap = pci_capability(virtio.devfn, 9, cap)) {
    if (pci_read<uint8_t>(virtio.devfn, static_cast<uint16_t>(cap + 3)) == 5) {
      at = cap;
    }
  }
  CHECK(at != 0);
  const auto set = [&](uint8_t bar, uint32_t offset, uint32_t length) {
    pci_write<uint8_t>(virtio.devfn, static_cast<uint16_t>(at + 4), bar);
    pci_write<uint32_t>(virtio.devfn, static_cast<uint16_t>(at + 8), offset);
    pci_write<uint32_t>(virtio.devfn, static_cast<uint16_t>(at + 12), length);
  };
  const uint16_t data = static_cast<uint16_t>(at + 16);
  virtio.reset();
  set(4, Virtio::kStatus, 1);
  pci_write<uint8_t>(virtio.devfn, data, 1);
  CHECK_EQ(virtio.status(), 1);
  CHECK_EQ(pci_read<uint8_t>(virtio.devfn, data), 1);
  set(4, Virtio::kQueueCount, 2);
  CHECK_EQ(pci_read<uint16_t>(virtio.devfn, data), 2);
  const uint32_t bad_lengths[] = {0, 3, 5, 8, 0xffffffff};
  for (const uint32_t length : bad_lengths) {
    set(4, 0, length);
    (void)pci_read<uint32_t>(virtio.devfn, data);
    pci_write<uint32_t>(virtio.devfn, data, 0xffffffff);
  }
  const uint32_t bad_offsets[] = {0x3fff, 0x4000, 0xfffffffc, 0xffffffff};
  for (const uint32_t offset : bad_offsets) {
    set(4, offset, 4);
    (void)pci_read<uint32_t>(virtio.devfn, data);
    pci_write<uint32_t>(virtio.devfn, data, 0xffffffff);
  }
  set(0xff, 0, 4);
  (void)pci_read<uint32_t>(virtio.devfn, data);
  CHECK_EQ(virtio.status(), 1);
}

void garbage(uint8_t devfn) {
  Random random;
  for (int i = 0; i < 20000; ++i) {
    const auto offset = static_cast<uint16_t>(random.next() & (pci_by_ports ? 0xff : 0xfff));
    switch (random.next() % 3) {
      case 0: pci_write<uint8_t>(devfn, offset, static_cast<uint8_t>(random.next())); break;
      case 1: pci_write<uint16_t>(devfn, offset & 0xffe, static_cast<uint16_t>(random.next())); break;
      default: pci_write<uint32_t>(devfn, offset & 0xffc, random.next()); break;
    }
    if (i % 16 == 0) {
      (void)pci_read<uint32_t>(devfn, offset & 0xffc);
    }
  }
  // Straightened out, it works again.
  pci_write<uint16_t>(devfn, 4, 0);
}
}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  print("pci: ", info->command_line, "\n");
  const VirtioChoice choice(info->command_line);
  enumerate(pci_by_ports);
  Virtio virtio(choice, 2);
  bars_and_decode(virtio);
  print("BARs done\n");
  msix(virtio);
  print("MSI-X done\n");
  access_window(virtio);
  garbage(virtio.devfn);
  pci_write<uint16_t>(virtio.devfn, static_cast<uint16_t>(pci_capability(virtio.devfn, 0x11) + 2), 0);
  Virtio again(choice, 2);
  again.negotiate(0);
  CHECK_EQ(again.status(), 0x0b);
  pass();
}
