#include "devices/pci/msix.h"

#include "base/log.h"

namespace lodge {
namespace {
constexpr uint64_t kEntrySize = 16;
constexpr uint16_t kControlEnable = 1U << 15;
constexpr uint16_t kControlMask = 1U << 14;
}  // namespace

Result<std::unique_ptr<Msix>> Msix::create(uint16_t vectors, MsiFactory& factory, const MsixState* saved) {
  if (vectors == 0 || vectors > kMaxVectors) {
    return fail("{} MSI-X vectors are not possible (1 to {})", vectors, kMaxVectors);
  }
  if (saved != nullptr && saved->entries.size() != vectors) {
    return fail("saved MSI-X table has {} vectors, the device has {}", saved->entries.size(), vectors);
  }
  std::unique_ptr<Msix> msix(new Msix);
  for (uint16_t i = 0; i < vectors; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->vector = TRY(factory.create_msi());
    if (saved != nullptr) {
      slot->entry = saved->entries[i];
    }
    msix->slots_.push_back(std::move(slot));
  }
  if (saved != nullptr) {
    const Lock lock(msix->mutex_);
    msix->function_masked_ = saved->function_masked;
    msix->enabled_ = saved->enabled;
    for (auto& slot : msix->slots_) {
      msix->apply(*slot);
    }
  }
  return msix;
}

void Msix::apply(Slot& slot) {
  const bool live = enabled_ && !function_masked_ && !slot.entry.masked;
  slot.armed.store(false, std::memory_order_release);
  const auto outcome = slot.vector->configure(slot.entry.address, slot.entry.data, live);
  if (!outcome) {
    log_warning("msix", "{}", outcome.error().message);
    return;
  }
  if (!live) {
    return;
  }
  slot.armed.store(true, std::memory_order_release);
  if (std::exchange(slot.entry.pending, false)) {
    slot.vector->trigger();
  }
}

void Msix::trigger(uint16_t vector) {
  if (vector >= slots_.size()) {
    return;
  }
  Slot& slot = *slots_[vector];
  if (slot.armed.load(std::memory_order_acquire)) {
    slot.vector->trigger();
    return;
  }
  const Lock lock(mutex_);
  if (slot.armed.load(std::memory_order_acquire)) {
    slot.vector->trigger();
  } else {
    slot.entry.pending = true;
  }
}

int Msix::event_fd(uint16_t vector) const { return vector < slots_.size() ? slots_[vector]->vector->event_fd() : -1; }

uint16_t Msix::read_control() const {
  const Lock lock(mutex_);
  auto control = static_cast<uint16_t>(slots_.size() - 1);
  if (enabled_) {
    control |= kControlEnable;
  }
  if (function_masked_) {
    control |= kControlMask;
  }
  return control;
}

void Msix::write_control(uint16_t control) {
  const Lock lock(mutex_);
  const bool enable = (control & kControlEnable) != 0;
  const bool mask = (control & kControlMask) != 0;
  if (enable == enabled_ && mask == function_masked_) {
    return;
  }
  enabled_.store(enable, std::memory_order_release);
  function_masked_ = mask;
  for (auto& slot : slots_) {
    apply(*slot);
  }
}

uint32_t Msix::read_table(uint64_t offset) const {
  const MsixEntry& entry = slots_[offset / kEntrySize]->entry;
  switch (offset % kEntrySize) {
    case 0: return static_cast<uint32_t>(entry.address);
    case 4: return static_cast<uint32_t>(entry.address >> 32);
    case 8: return entry.data;
    default: return entry.masked ? 1 : 0;
  }
}

void Msix::write_table(uint64_t offset, uint32_t value) {
  Slot& slot = *slots_[offset / kEntrySize];
  switch (offset % kEntrySize) {
    case 0: slot.entry.address = (slot.entry.address & ~uint64_t{UINT32_MAX}) | value; break;
    case 4: slot.entry.address = (slot.entry.address & UINT32_MAX) | (uint64_t{value} << 32); break;
    case 8: slot.entry.data = value; break;
    default: {
      const bool masked = (value & 1) != 0;
      if (masked == slot.entry.masked) {
        return;
      }
      slot.entry.masked = masked;
      apply(slot);
      return;
    }
  }
  if (!slot.entry.masked) {
    apply(slot);  // drivers mask first, but a change while unmasked still takes effect
  }
}

uint64_t Msix::io_read(IoAccess access) {
  const Lock lock(mutex_);
  if (access.offset >= kPbaOffset) {
    uint64_t bits = 0;
    const uint64_t first = (access.offset - kPbaOffset) * 8;
    for (uint64_t i = 0; i < uint64_t{access.size} * 8 && first + i < slots_.size(); ++i) {
      bits |= uint64_t{slots_[first + i]->entry.pending} << i;
    }
    return bits;
  }
  if (access.offset / kEntrySize >= slots_.size() || access.offset % 4 != 0 || access.size < 4) {
    return 0;
  }
  uint64_t value = read_table(access.offset);
  if (access.size == 8 && access.offset % 8 == 0) {
    value |= uint64_t{read_table(access.offset + 4)} << 32;
  }
  return value;
}

void Msix::io_write(IoAccess access, uint64_t value) {
  const Lock lock(mutex_);
  if (access.offset / kEntrySize >= slots_.size() || access.offset % 4 != 0 || access.size < 4) {
    return;
  }
  write_table(access.offset, static_cast<uint32_t>(value));
  if (access.size == 8 && access.offset % 8 == 0) {
    write_table(access.offset + 4, static_cast<uint32_t>(value >> 32));
  }
}

void Msix::reset() {
  const Lock lock(mutex_);
  enabled_ = false;
  function_masked_ = false;
  for (auto& slot : slots_) {
    slot->entry = MsixEntry{};
    apply(*slot);
  }
}

MsixState Msix::state() const {
  const Lock lock(mutex_);
  MsixState state{enabled_, function_masked_, {}};
  for (const auto& slot : slots_) {
    state.entries.push_back(slot->entry);
  }
  return state;
}

}  // namespace lodge
