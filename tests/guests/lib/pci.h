// PCI configuration space by ports (pc) or memory window (microvm), BAR sizing and assignment, capabilities.
#pragma once

#include "check.h"

constexpr uint32_t kEcam = 0xe0000000;

// Set by the guest from its command line.
inline bool pci_by_ports = false;

inline uint32_t ecam_address(uint8_t devfn, uint16_t offset) { return kEcam + (uint32_t{devfn} << 12) + offset; }

template <class T>
T pci_read(uint8_t devfn, uint16_t offset) {
  if (!pci_by_ports) {
    return mmio_read<T>(ecam_address(devfn, offset));
  }
  outl(0xcf8, 0x80000000 | uint32_t{devfn} << 8 | (offset & 0xfcU));
  const auto port = static_cast<uint16_t>(0xcfc + (offset & 3));
  return static_cast<T>(sizeof(T) == 1 ? inb(port) : sizeof(T) == 2 ? inw(port) : inl(port));
}
template <class T>
void pci_write(uint8_t devfn, uint16_t offset, T value) {
  if (!pci_by_ports) {
    mmio_write<T>(ecam_address(devfn, offset), value);
    return;
  }
  outl(0xcf8, 0x80000000 | uint32_t{devfn} << 8 | (offset & 0xfcU));
  const auto port = static_cast<uint16_t>(0xcfc + (offset & 3));
  if (sizeof(T) == 1) {
    outb(port, static_cast<uint8_t>(value));
  } else if (sizeof(T) == 2) {
    outw(port, static_cast<uint16_t>(value));
  } else {
    outl(port, static_cast<uint32_t>(value));
  }
}

struct PciBar {
  uint32_t size = 0;  // 0: none
  bool io = false;
  bool wide = false;  // 64 bits: takes the next register too
  uint32_t address = 0;
};

inline PciBar pci_size_bar(uint8_t devfn, unsigned index) {
  const auto at = static_cast<uint16_t>(0x10 + 4 * index);
  const auto before = pci_read<uint32_t>(devfn, at);
  pci_write<uint32_t>(devfn, at, 0xffffffff);
  const auto mask = pci_read<uint32_t>(devfn, at);
  pci_write<uint32_t>(devfn, at, before);
  PciBar bar;
  if (mask == 0) {
    return bar;
  }
  bar.io = (mask & 1) != 0;
  bar.wide = !bar.io && (mask & 6) == 4;
  bar.size = ~(mask & (bar.io ? ~3U : ~15U)) + 1;
  bar.address = before & (bar.io ? ~3U : ~15U);
  return bar;
}

// Gives each BAR of the function an address of its own and switches decoding and bus mastering on.
struct PciAllocator {
  uint32_t next_memory = 0xc0000000;
  uint32_t next_io = 0xc000;

  void assign(uint8_t devfn, PciBar (&bars)[6]) {
    for (unsigned i = 0; i < 6; ++i) {
      bars[i] = pci_size_bar(devfn, i);
      PciBar& bar = bars[i];
      if (bar.size == 0) {
        continue;
      }
      uint32_t& next = bar.io ? next_io : next_memory;
      next = (next + bar.size - 1) & ~(bar.size - 1);
      bar.address = next;
      next += bar.size;
      pci_write<uint32_t>(devfn, static_cast<uint16_t>(0x10 + 4 * i), bar.address);
      if (bar.wide) {
        pci_write<uint32_t>(devfn, static_cast<uint16_t>(0x14 + 4 * i), 0);
        bars[++i] = {};
      }
    }
    pci_write<uint16_t>(devfn, 4, 0x407);  // I/O, memory, bus master; no INTx to the CPU
  }
};

// The next capability of this id at or after `from` (0: the first of the list); 0 when there is none.
inline uint8_t pci_capability(uint8_t devfn, uint8_t id, uint8_t after = 0) {
  if ((pci_read<uint16_t>(devfn, 6) & 0x10) == 0) {
    return 0;
  }
  uint8_t at = pci_read<uint8_t>(devfn, static_cast<uint16_t>(after == 0 ? 0x34 : after + 1));
  for (int steps = 0; at != 0; ++steps) {
    CHECK(steps < 64);
    CHECK((at & 3) == 0 && at >= 0x40);
    if (pci_read<uint8_t>(devfn, at) == id) {
      return at;
    }
    at = pci_read<uint8_t>(devfn, static_cast<uint16_t>(at + 1));
  }
  return 0;
}

// The nth function of this vendor with a device id in [first, last]; -1 when there is none.
inline int pci_find(uint16_t vendor, uint16_t first, uint16_t last, unsigned nth = 0) {
  for (unsigned devfn = 0; devfn < 256; devfn += 8) {
    const auto id = pci_read<uint32_t>(static_cast<uint8_t>(devfn), 0);
    if ((id & 0xffff) == vendor && (id >> 16) >= first && (id >> 16) <= last && nth-- == 0) {
      return static_cast<int>(devfn);
    }
  }
  return -1;
}
