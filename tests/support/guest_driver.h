// GuestDriver: the guest's side of a virtio PCI function in a TestMachine: finds it by its slot, maps its BARs, negotiates
// and drives split or packed rings. It does what it is told, also what a good driver never would.
#pragma once

#include "devices/virtio/transport_layout.h"
#include "tests/support/test_machine.h"

namespace lodge::test {

// One ring in guest RAM, split or packed.
class GuestRing {
 public:
  GuestRing(GuestMemory& memory, Gpa at, uint16_t size, bool packed) : memory_(&memory), size_(size), packed_(packed) {
    descriptors = at.value;
    driver = descriptors + 16ULL * size;
    device = align_up(driver + 6 + 2ULL * size, 4096);
    must(memory.fill(at, bytes(size), std::byte{0}));
  }
  static uint64_t bytes(uint16_t size) {
    return align_up(16ULL * size + 6 + 2ULL * size, 4096) + align_up(6 + 8ULL * size, 4096);
  }

  void put_descriptor(uint16_t index, uint64_t at, uint32_t length, uint16_t a, uint16_t b) {
    struct {
      uint64_t at;
      uint32_t length;
      uint16_t a;
      uint16_t b;
    } const descriptor{at, length, a, b};
    must(memory_->write(Gpa{descriptors + 16ULL * index}, descriptor));
  }
  // Publishes one chain; returns its id.
  uint16_t add(const std::vector<Buffer>& buffers) { return packed_ ? add_packed(buffers) : add_split(buffers); }
  // An indirect table at `table`.
  uint16_t add_indirect(Gpa table, const std::vector<Buffer>& buffers) {
    for (size_t i = 0; i < buffers.size(); ++i) {
      const auto flags = static_cast<uint16_t>((i + 1 < buffers.size() && !packed_ ? 1 : 0) | (buffers[i].writable ? 2 : 0));
      struct {
        uint64_t at;
        uint32_t length;
        uint16_t a;
        uint16_t b;
      } const row{buffers[i].at.value, buffers[i].length, packed_ ? uint16_t{0} : flags,
                  packed_ ? flags : static_cast<uint16_t>(i + 1)};
      must(memory_->write(Gpa{table.value + 16 * i}, row));
    }
    return add_raw(table.value, static_cast<uint32_t>(16 * buffers.size()), 4);
  }
  // One descriptor with these flags.
  uint16_t add_raw(uint64_t at, uint32_t length, uint16_t flags) {
    const uint16_t index = next_;
    if (packed_) {
      put_descriptor(index, at, length, index, static_cast<uint16_t>(flags | (wrap_ ? 0x80 : 0x8000)));
      lengths_[index] = 1;
      step();
      return index;
    }
    put_descriptor(index, at, length, flags, 0);
    next_ = static_cast<uint16_t>((next_ + 1) % size_);
    publish(index);
    return index;
  }
  void publish(uint16_t head) {
    must(memory_->write(Gpa{driver + 4 + 2ULL * (available_ % size_)}, head));
    ++available_;
    must(memory_->write(Gpa{driver + 2}, available_));
  }
  std::optional<Used> used() { return packed_ ? used_packed() : used_split(); }
  [[nodiscard]] uint16_t size() const { return size_; }
  // The same ring in another machine that has a copy of the RAM.
  void move_to(GuestMemory& memory) { memory_ = &memory; }
  void set_interrupt_flags(uint16_t flags) { must(memory_->write(Gpa{driver + (packed_ ? 2 : 0)}, flags)); }

  uint64_t descriptors = 0;
  uint64_t driver = 0;
  uint64_t device = 0;

 private:
  void step() {
    if (++next_ == size_) {
      next_ = 0;
      wrap_ = !wrap_;
    }
  }
  uint16_t add_split(const std::vector<Buffer>& buffers) {
    const uint16_t head = next_;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const uint16_t index = next_;
      next_ = static_cast<uint16_t>((next_ + 1) % size_);
      put_descriptor(index, buffers[i].at.value, buffers[i].length,
                     static_cast<uint16_t>((i + 1 < buffers.size() ? 1 : 0) | (buffers[i].writable ? 2 : 0)), next_);
    }
    publish(head);
    return head;
  }
  uint16_t add_packed(const std::vector<Buffer>& buffers) {
    const uint16_t head = next_;
    uint16_t head_flags = 0;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const auto flags =
          static_cast<uint16_t>((i + 1 < buffers.size() ? 1 : 0) | (buffers[i].writable ? 2 : 0) | (wrap_ ? 0x80 : 0x8000));
      // The head's flags come last: until then the device sees nothing.
      put_descriptor(next_, buffers[i].at.value, buffers[i].length, head, i == 0 ? (wrap_ ? 0x8000 : 0x80) : flags);
      head_flags = i == 0 ? flags : head_flags;
      step();
    }
    lengths_[head] = static_cast<uint16_t>(buffers.size());
    must(memory_->write(Gpa{descriptors + 16ULL * head + 14}, head_flags));
    return head;
  }
  std::optional<Used> used_split() {
    if (must(memory_->read<uint16_t>(Gpa{device + 2})) == seen_) {
      return std::nullopt;
    }
    const Gpa entry{device + 4 + 8ULL * (seen_ % size_)};
    ++seen_;
    return Used{static_cast<uint16_t>(must(memory_->read<uint32_t>(entry))),
                must(memory_->read<uint32_t>(Gpa{entry.value + 4}))};
  }
  std::optional<Used> used_packed() {
    const Gpa at{descriptors + 16ULL * seen_};
    const auto flags = must(memory_->read<uint16_t>(Gpa{at.value + 14}));
    if (((flags & 0x80) != 0) != used_wrap_ || ((flags & 0x8000) != 0) != used_wrap_) {
      return std::nullopt;
    }
    const Used done{must(memory_->read<uint16_t>(Gpa{at.value + 12})), must(memory_->read<uint32_t>(Gpa{at.value + 8}))};
    seen_ = static_cast<uint16_t>(seen_ + lengths_[done.head]);
    if (seen_ >= size_) {
      seen_ = static_cast<uint16_t>(seen_ - size_);
      used_wrap_ = !used_wrap_;
    }
    return done;
  }

  GuestMemory* memory_;
  uint16_t size_;
  bool packed_;
  uint16_t next_ = 0;
  uint16_t available_ = 0;
  uint16_t seen_ = 0;
  bool wrap_ = true;
  bool used_wrap_ = true;
  std::map<uint16_t, uint16_t> lengths_;
};

class GuestDriver {
 public:
  static constexpr uint64_t kModernBar = 0xC000'0000;
  static constexpr uint64_t kMsixBar = 0xC010'0000;
  static constexpr uint16_t kLegacyPort = 0xC000;

  GuestDriver(TestMachine& machine, uint8_t slot = 1) : machine_(machine), slot_(slot) { map(); }
  // Goes on in a machine that was created from the saved state of `other`'s.
  GuestDriver(TestMachine& machine, const GuestDriver& other)
      : rings(other.rings), packed(other.packed), machine_(machine), slot_(other.slot_) {
    for (auto& [index, ring] : rings) {
      ring.move_to(*machine.memory);
    }
  }

  void map() {
    machine_.set_config(slot_, 0x10, kLegacyPort);
    machine_.set_config(slot_, 0x14, kMsixBar);
    machine_.set_config(slot_, 0x20, kModernBar);
    machine_.set_config(slot_, 0x24, 0);
    machine_.set_config(slot_, 0x04, 7, 2);
  }
  uint64_t common(uint64_t at, uint8_t size) { return machine_.read(kModernBar + at, size); }
  void set_common(uint64_t at, uint64_t value, uint8_t size) { machine_.write(kModernBar + at, value, size); }
  uint8_t status() { return static_cast<uint8_t>(common(virtio_pci::kStatus, 1)); }
  void set_status(uint8_t value) { set_common(virtio_pci::kStatus, value, 1); }
  bool needs_reset() { return (status() & virtio_pci::kStatusNeedsReset) != 0; }
  uint64_t offered() {
    set_common(virtio_pci::kDeviceFeatureSelect, 1, 4);
    const uint64_t high = common(virtio_pci::kDeviceFeature, 4);
    set_common(virtio_pci::kDeviceFeatureSelect, 0, 4);
    return high << 32 | common(virtio_pci::kDeviceFeature, 4);
  }
  void accept(uint64_t features) {
    for (uint32_t half = 0; half < 2; ++half) {
      set_common(virtio_pci::kDriverFeatureSelect, half, 4);
      set_common(virtio_pci::kDriverFeature, static_cast<uint32_t>(features >> (32 * half)), 4);
    }
  }
  // Reset, acknowledge and agree on `features` (cut to what is offered); returns what was agreed.
  uint64_t negotiate(uint64_t features = ~uint64_t{0}) {
    reset();
    set_status(1);
    set_status(3);
    features &= offered();
    packed = (features & kVirtioRingPacked) != 0;
    accept(features);
    set_status(11);
    return features;
  }
  bool reset() {
    set_status(0);
    return machine_.run_until([&] { return status() == 0; });
  }
  GuestRing& add_ring(uint16_t index, uint16_t size, Gpa at, uint16_t vector = 0xFFFF) {
    rings.erase(index);
    GuestRing& ring = rings.emplace(index, GuestRing(*machine_.memory, at, size, packed)).first->second;
    set_common(virtio_pci::kQueueSelect, index, 2);
    set_common(virtio_pci::kQueueSize, size, 2);
    set_common(virtio_pci::kQueueVector, vector, 2);
    set_common(virtio_pci::kQueueDescriptors, ring.descriptors, 8);
    set_common(virtio_pci::kQueueDriver, ring.driver, 8);
    set_common(virtio_pci::kQueueDevice, ring.device, 8);
    set_common(virtio_pci::kQueueEnable, 1, 2);
    return ring;
  }
  // All queues with rings of at most `size`, DRIVER_OK.
  void start(uint64_t features = ~uint64_t{0}, uint16_t size = 64) {
    negotiate(features);
    const auto count = static_cast<uint16_t>(common(virtio_pci::kQueueCount, 2));
    for (uint16_t i = 0; i < count; ++i) {
      set_common(virtio_pci::kQueueSelect, i, 2);
      const auto most = static_cast<uint16_t>(common(virtio_pci::kQueueSize, 2));
      add_ring(i, std::min(size, most), Gpa{kRings + i * 0x10000ULL});
    }
    set_status(15);
    machine_.turn();
  }
  void kick(uint16_t queue) { machine_.write(kModernBar + virtio_pci::kNotifyAt + queue * 4ULL, queue, 2); }
  std::optional<Used> wait(uint16_t queue) {
    std::optional<Used> used;
    machine_.run_until([&] { return (used = rings.at(queue).used()).has_value(); });
    return used;
  }
  std::optional<Used> request(uint16_t queue, const std::vector<Buffer>& buffers) {
    rings.at(queue).add(buffers);
    kick(queue);
    return wait(queue);
  }

  static constexpr uint64_t kRings = 1 * kMiB;
  static constexpr uint64_t kBuffers = 8 * kMiB;
  std::map<uint16_t, GuestRing> rings;
  bool packed = false;

 private:
  TestMachine& machine_;
  uint8_t slot_;
};

}  // namespace lodge::test
