// Pseudo-random values to every port and every register of every device, of all sizes. The monitor must live; the devices
// may not. What ends the guest on purpose is left out: exit, sleep and reset registers.
#include "lib/virtio.h"

namespace {
Random random;

bool ends_the_guest(uint16_t port) {
  return (port >= 0xf0 && port <= 0xf7) || (port >= 0x600 && port <= 0x60b) || (port >= 0xcf4 && port <= 0xcff) ||
         (port >= 0x60 && port <= 0x67) || port == 0x92 || (port >= 0x3f8 - 3 && port <= 0x3ff);
}

void port_access(uint16_t port) {
  const uint32_t value = random.next();
  switch (random.next() % 6) {
    case 0: outb(port, static_cast<uint8_t>(value)); break;
    case 1: outw(port, static_cast<uint16_t>(value)); break;
    case 2: outl(port, value); break;
    case 3: (void)inb(port); break;
    case 4: (void)inw(port); break;
    default: (void)inl(port); break;
  }
}

void memory_access(uint32_t at) {
  const uint32_t value = random.next() % 3 == 0 ? random.next() : random.next() % 64;
  switch (random.next() % 6) {
    case 0: mmio_write<uint8_t>(at, static_cast<uint8_t>(value)); break;
    case 1: mmio_write<uint16_t>(at, static_cast<uint16_t>(value)); break;
    case 2: mmio_write<uint32_t>(at, value); break;
    case 3: (void)mmio_read<uint8_t>(at); break;
    case 4: (void)mmio_read<uint16_t>(at); break;
    default: (void)mmio_read<uint32_t>(at); break;
  }
}

void all_ports() {
  for (uint32_t port = 0; port < 0x10000; ++port) {
    if (!ends_the_guest(static_cast<uint16_t>(port))) {
      port_access(static_cast<uint16_t>(port));
    }
  }
  for (int i = 0; i < 20000; ++i) {  // where devices are, again and again
    const uint16_t places[] = {0x2f8, 0x70, 0x402, 0xafe0, 0xb2};
    port_access(static_cast<uint16_t>(places[random.next() % 5] + random.next() % 8));
  }
}

void function(uint8_t devfn) {
  PciBar bars[6];
  pci_allocator.assign(devfn, bars);
  for (int i = 0; i < 8000; ++i) {
    if (i % 500 == 0) {  // life goes on between accesses, also with rings in nonsense places
      pci_write<uint16_t>(devfn, 4, 0x407);
    }
    const PciBar& bar = bars[random.next() % 6];
    if (bar.size == 0) {
      continue;
    }
    const uint32_t offset =
        random.next() % 4 == 0 ? random.next() % bar.size : random.next() % 64 | (random.next() % 4 << 12);
    if (bar.io) {
      port_access(static_cast<uint16_t>(bar.address + offset % bar.size));
    } else if (offset % bar.size <= bar.size - 4) {
      memory_access(bar.address + offset % bar.size);
    }
  }
  for (int i = 0; i < 600; ++i) {
    const auto offset = static_cast<uint16_t>(random.next() & 0xff);
    random.next() % 2 == 0 ? pci_write<uint8_t>(devfn, offset, static_cast<uint8_t>(random.next()))
                           : pci_write<uint32_t>(devfn, offset & 0xfc, random.next());
  }
  pci_write<uint16_t>(devfn, 4, 0);
}

// Started for good, then random rings.
void rings(uint8_t devfn, const VirtioChoice& choice, uint16_t kind, unsigned nth) {
  (void)devfn;
  for (int round = 0; round < 6; ++round) {
    Virtio virtio(choice, kind, nth);
    virtio.negotiate(~0ULL);
    const uint16_t queues = mmio_read<uint16_t>(virtio.common + Virtio::kQueueCount);
    auto* area = static_cast<uint32_t*>(allocate(3 * 4096));
    for (int i = 0; i < 3 * 1024; ++i) {
      area[i] = random.next() % 3 == 0 ? random.next() : random.next() % 0x2000000;
    }
    for (uint16_t i = 0; i < queues && i < 8; ++i) {
      mmio_write<uint16_t>(virtio.common + Virtio::kQueueSelect, i);
      mmio_write<uint16_t>(virtio.common + Virtio::kQueueSize, 16);
      mmio_write<uint32_t>(virtio.common + Virtio::kDescriptors, reinterpret_cast<uint32_t>(area));
      mmio_write<uint32_t>(virtio.common + Virtio::kDriver, reinterpret_cast<uint32_t>(area + 1024));
      mmio_write<uint32_t>(virtio.common + Virtio::kDevice, reinterpret_cast<uint32_t>(area + 2048));
      mmio_write<uint16_t>(virtio.common + Virtio::kQueueEnable, 1);
    }
    virtio.set_status(15);
    for (int kick = 0; kick < 200; ++kick) {
      area[random.next() % 64] = random.next() % 0x2000000;
      reinterpret_cast<uint16_t*>(area)[2049] = static_cast<uint16_t>(random.next() % 17);
      mmio_write<uint16_t>(virtio.notify + random.next() % 8 * 4, 0);
    }
    virtio.reset();
  }
}
}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  print("garbage: ", info->command_line, "\n");
  const VirtioChoice choice(info->command_line);
  const uint16_t kinds[] = {1, 2, 3, 4, 5};
  for (const uint16_t kind : kinds) {
    rings(0, choice, kind, 0);
    print("rings of kind ", uint32_t{kind}, "\n");
  }
  for (unsigned devfn = 1; devfn < 256; ++devfn) {
    if (pci_read<uint32_t>(static_cast<uint8_t>(devfn), 0) != 0xffffffff) {
      print("function ", devfn, "\n");
      function(static_cast<uint8_t>(devfn));
    }
  }
  all_ports();
  if (!pci_by_ports) {
    for (int i = 0; i < 3000; ++i) {  // the power block, but for its sleep and reset bytes
      memory_access(0xfeb00004 + random.next() % 9);
    }
  }
  const uint32_t holes[] = {0xb0000000, 0xcfff0000, 0xdff00000, 0xfeaf0000, 0xff000000};
  for (int i = 0; i < 3000; ++i) {
    memory_access(holes[random.next() % 5] + random.next() % 0x10000);
  }
  pass();
}
