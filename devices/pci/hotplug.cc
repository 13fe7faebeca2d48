#include "devices/pci/hotplug.h"

#include "devices/core/ost.h"

namespace lodge {
namespace {

constexpr uint8_t kSlots = 32;
constexpr uint32_t bit(uint8_t slot) { return uint32_t{1} << slot; }

}  // namespace

Result<std::unique_ptr<PciHotplug>> PciHotplug::create(Bus& bus, uint64_t base, Hooks hooks, const StateReader* saved) {
  std::unique_ptr<PciHotplug> self(new PciHotplug(std::move(hooks)));
  if (saved != nullptr) {
    const auto state = TRY(saved->get<PciHotplugState>("hotplug0"));
    const Lock lock(self->mutex_);
    self->state_ = state;
  }
  self->mapping_ = TRY(bus.add(base, kSize, "hotplug0", unowned(*self)));
  return self;
}

void PciHotplug::added(uint8_t slot) {
  {
    const Lock lock(mutex_);
    state_.up |= bit(slot);
  }
  hooks_.interrupt();
}

void PciHotplug::ask_to_leave(uint8_t slot) {
  {
    const Lock lock(mutex_);
    state_.down |= bit(slot);
    state_.leaving |= bit(slot);
  }
  hooks_.interrupt();
}

void PciHotplug::gone(uint8_t slot) {
  const Lock lock(mutex_);
  state_.up &= ~bit(slot);
  state_.down &= ~bit(slot);
  state_.leaving &= ~bit(slot);
}

uint32_t PciHotplug::leaving() const {
  const Lock lock(mutex_);
  return state_.leaving;
}

uint64_t PciHotplug::io_read(IoAccess access) {
  if (access.size != 4) {
    return 0;
  }
  const Lock lock(mutex_);
  switch (access.offset) {
    case kUp: return std::exchange(state_.up, 0);
    case kDown: return std::exchange(state_.down, 0);
    default: return 0;
  }
}

void PciHotplug::io_write(IoAccess access, uint64_t value) {
  if (access.offset == kEject && access.size == 4) {
    for (uint8_t slot = 0; slot < kSlots; ++slot) {
      if ((value & bit(slot)) != 0) {
        hooks_.ejected(slot);
      }
    }
  } else if (access.size == 1 && access.offset >= kEvent && access.offset <= kStatus) {
    const Lock lock(mutex_);
    outcome_.at(access.offset - kEvent) = static_cast<uint8_t>(value);
  } else if (access.size == 1 && access.offset == kSlot && value < kSlots) {
    told(static_cast<uint8_t>(value));
  }
}

void PciHotplug::told(uint8_t slot) {
  bool refused = false;
  {
    const Lock lock(mutex_);
    refused = outcome_[0] == ost::kEjectRequest && ost::means_no(outcome_[1]) && (state_.leaving & bit(slot)) != 0;
    if (refused) {
      state_.leaving &= ~bit(slot);
    }
  }
  if (refused) {
    hooks_.refused(slot);
  }
}

void PciHotplug::save(StateWriter& out) const {
  const Lock lock(mutex_);
  out.put("hotplug0", state_);
}

void PciHotplug::reset() {
  const Lock lock(mutex_);
  state_.up = 0;
  state_.down = 0;
  outcome_ = {};
}

}  // namespace lodge
