// A polling virtio-over-PCI driver: modern (virtio 1.2 section 4.1) and legacy 0.9.
#pragma once

#include "multiboot.h"
#include "pci.h"
#include "rings.h"

constexpr uint32_t kFeatureIndirect = 1U << 28;
constexpr uint32_t kFeatureEventIndex = 1U << 29;
constexpr uint64_t kFeatureVersion1 = 1ULL << 32;
constexpr uint64_t kFeaturePacked = 1ULL << 34;

// The words of the command line that all virtio guests know: pc, packed, legacy, noevent, noindirect.
struct VirtioChoice {
  bool legacy = false;
  bool packed = false;
  bool event_index = true;
  bool indirect = true;
  explicit VirtioChoice(const char* words) {
    pci_by_ports = has_word(words, "pc");
    legacy = has_word(words, "legacy");
    packed = has_word(words, "packed");
    event_index = !has_word(words, "noevent");
    indirect = !has_word(words, "noindirect");
  }
};

inline PciAllocator pci_allocator;

struct Virtio {
  uint8_t devfn = 0;
  VirtioChoice choice;
  PciBar bars[6];
  uint32_t common = 0, notify = 0, notify_step = 0, isr = 0, config = 0;
  uint16_t ports = 0;
  uint64_t features = 0;  // agreed

  enum : uint32_t {
    kDeviceSelect = 0,
    kDeviceFeature = 4,
    kDriverSelect = 8,
    kDriverFeature = 12,
    kConfigVector = 0x10,
    kQueueCount = 0x12,
    kStatus = 0x14,
    kGeneration = 0x15,
    kQueueSelect = 0x16,
    kQueueSize = 0x18,
    kQueueVector = 0x1a,
    kQueueEnable = 0x1c,
    kNotifyOff = 0x1e,
    kDescriptors = 0x20,
    kDriver = 0x28,
    kDevice = 0x30
  };

  // Finds the nth device of a virtio kind and maps it.
  Virtio(const VirtioChoice& wish, uint16_t kind, unsigned nth = 0) : choice(wish) {
    const uint16_t transitional = kind == 1 ? 0x1000 : kind == 2 ? 0x1001 : kind == 5 ? 0x1002 : kind == 3 ? 0x1003 : 0x1005;
    int at = pci_find(0x1af4, static_cast<uint16_t>(0x1040 + kind), static_cast<uint16_t>(0x1040 + kind), nth);
    if (at < 0) {
      at = pci_find(0x1af4, transitional, transitional, nth);
      CHECK(at >= 0);
      CHECK_EQ(pci_read<uint16_t>(static_cast<uint8_t>(at), 0x2e), kind);
    }
    devfn = static_cast<uint8_t>(at);
    pci_allocator.assign(devfn, bars);
    if (choice.legacy) {
      CHECK(bars[0].io);
      ports = static_cast<uint16_t>(bars[0].address);
    } else {
      find_windows();
    }
  }
  void find_windows() {
    for (uint8_t at = pci_capability(devfn, 9); at != 0; at = pci_capability(devfn, 9, at)) {
      const auto type = pci_read<uint8_t>(devfn, static_cast<uint16_t>(at + 3));
      const auto bar = pci_read<uint8_t>(devfn, static_cast<uint16_t>(at + 4));
      const auto offset = pci_read<uint32_t>(devfn, static_cast<uint16_t>(at + 8));
      if (type == 5) {
        continue;
      }
      CHECK(bar < 6 && bars[bar].size != 0);
      CHECK(offset + pci_read<uint32_t>(devfn, static_cast<uint16_t>(at + 12)) <= bars[bar].size);
      const uint32_t address = bars[bar].address + offset;
      switch (type) {
        case 1: common = address; break;
        case 2:
          notify = address;
          notify_step = pci_read<uint32_t>(devfn, static_cast<uint16_t>(at + 16));
          break;
        case 3: isr = address; break;
        case 4: config = address; break;
        default: break;
      }
    }
    CHECK(common != 0 && notify != 0 && isr != 0);
  }

  uint8_t status() const { return choice.legacy ? inb(ports + 0x12) : mmio_read<uint8_t>(common + kStatus); }
  void set_status(uint8_t value) const {
    if (choice.legacy) {
      outb(ports + 0x12, value);
    } else {
      mmio_write<uint8_t>(common + kStatus, value);
    }
  }
  // Returns when the device says that the reset is over.
  void reset() const {
    set_status(0);
    if (choice.legacy) {
      CHECK_EQ(status(), 0);
    } else {
      WAIT_FOR(status() == 0);
    }
  }
  uint64_t offered() const {
    if (choice.legacy) {
      return inl(ports);
    }
    mmio_write<uint32_t>(common + kDeviceSelect, 1);
    const uint64_t high = mmio_read<uint32_t>(common + kDeviceFeature);
    mmio_write<uint32_t>(common + kDeviceSelect, 0);
    return high << 32 | mmio_read<uint32_t>(common + kDeviceFeature);
  }
  // Reset, acknowledge, agree on what is wanted and offered. The ring features follow the command line.
  void negotiate(uint64_t wanted) {
    reset();
    set_status(1);
    set_status(3);
    if (choice.event_index) {
      wanted |= kFeatureEventIndex;
    }
    if (choice.indirect) {
      wanted |= kFeatureIndirect;
    }
    if (!choice.legacy) {
      wanted |= kFeatureVersion1 | (choice.packed ? kFeaturePacked : 0);
    }
    features = offered() & wanted;
    if (choice.legacy) {
      outl(ports + 4, static_cast<uint32_t>(features));
      return;
    }
    CHECK((features & kFeatureVersion1) != 0);
    CHECK(!choice.packed || (features & kFeaturePacked) != 0);
    mmio_write<uint32_t>(common + kDriverSelect, 0);
    mmio_write<uint32_t>(common + kDriverFeature, static_cast<uint32_t>(features));
    mmio_write<uint32_t>(common + kDriverSelect, 1);
    mmio_write<uint32_t>(common + kDriverFeature, static_cast<uint32_t>(features >> 32));
    set_status(0x0b);
    CHECK_EQ(status(), 0x0b);  // FEATURES_OK was taken
  }
  // `wanted_size` 0: what the device has.
  void add_queue(Ring& ring, uint16_t index, uint16_t wanted_size = 0) const {
    const bool event_index = (features & kFeatureEventIndex) != 0;
    if (choice.legacy) {
      outw(ports + 0x0e, index);
      const uint16_t size = inw(ports + 0x0c);
      CHECK(size != 0 && (size & (size - 1)) == 0);
      ring.set_up(size, false, event_index, true);
      enable_queue(ring, index);
      CHECK_EQ(inl(ports + 0x08), reinterpret_cast<uint32_t>(ring.descriptors) >> 12);
      return;
    }
    mmio_write<uint16_t>(common + kQueueSelect, index);
    uint16_t size = mmio_read<uint16_t>(common + kQueueSize);
    CHECK(size != 0);
    if (wanted_size != 0) {
      CHECK(wanted_size <= size);
      mmio_write<uint16_t>(common + kQueueSize, wanted_size);
      size = wanted_size;
      CHECK_EQ(mmio_read<uint16_t>(common + kQueueSize), size);
    }
    ring.set_up(size, choice.packed, event_index);
    enable_queue(ring, index);
  }
  // Tells the device of a ring that is set up already (again after a reset).
  void enable_queue(const Ring& ring, uint16_t index) const {
    if (choice.legacy) {
      outw(ports + 0x0e, index);
      outl(ports + 0x08, reinterpret_cast<uint32_t>(ring.descriptors) >> 12);
      return;
    }
    mmio_write<uint16_t>(common + kQueueSelect, index);
    mmio_write<uint16_t>(common + kQueueSize, ring.size);
    const uint32_t areas[3] = {reinterpret_cast<uint32_t>(ring.descriptors), reinterpret_cast<uint32_t>(ring.driver),
                               reinterpret_cast<uint32_t>(ring.device)};
    for (uint32_t i = 0; i < 3; ++i) {
      mmio_write<uint32_t>(common + kDescriptors + 8 * i, areas[i]);
      mmio_write<uint32_t>(common + kDescriptors + 8 * i + 4, 0);
      CHECK_EQ(mmio_read<uint32_t>(common + kDescriptors + 8 * i), areas[i]);
    }
    mmio_write<uint16_t>(common + kQueueEnable, 1);
    CHECK_EQ(mmio_read<uint16_t>(common + kQueueEnable), 1);
  }
  void start() const {
    set_status(choice.legacy ? 7 : 0x0f);
    CHECK_EQ(status(), choice.legacy ? 7 : 0x0f);
  }
  void kick(uint16_t queue) const {
    if (choice.legacy) {
      outw(ports + 0x10, queue);
      return;
    }
    mmio_write<uint16_t>(common + kQueueSelect, queue);
    const auto offset = mmio_read<uint16_t>(common + kNotifyOff);
    mmio_write<uint16_t>(notify + offset * notify_step, queue);
  }
  uint8_t take_isr() const { return choice.legacy ? inb(ports + 0x13) : mmio_read<uint8_t>(isr); }
  template <class T>
  T config_read(uint32_t offset) const {
    if (!choice.legacy) {
      return mmio_read<T>(config + offset);
    }
    const auto port = static_cast<uint16_t>(ports + 0x14 + offset);  // MSI-X is off
    return static_cast<T>(sizeof(T) == 1 ? inb(port) : sizeof(T) == 2 ? inw(port) : inl(port));
  }
  template <class T>
  void config_write(uint32_t offset, T value) const {
    if (!choice.legacy) {
      mmio_write<T>(config + offset, value);
      return;
    }
    const auto port = static_cast<uint16_t>(ports + 0x14 + offset);
    sizeof(T) == 1 ? outb(port, static_cast<uint8_t>(value)) : outl(port, static_cast<uint32_t>(value));
  }
  // Publishes, kicks if wanted, waits for one completion.
  Completion request(Ring& ring, uint16_t queue, const Buffer* buffers, unsigned count, bool indirect = false) const {
    const uint16_t id = ring.add(buffers, count, indirect);
    if (ring.wants_kick()) {
      kick(queue);
    }
    Completion done{};
    WAIT_FOR(ring.poll(done));
    CHECK_EQ(done.id, id);
    return done;
  }
};
