#include "devices/legacy/power/device.h"

namespace lodge {
namespace {
constexpr uint8_t kSleepEnable = 0x20;
constexpr uint8_t kSleepTypeOff = 5;
}  // namespace

Result<std::unique_ptr<ReducedPower>> ReducedPower::create(const DeviceEnv& env, uint64_t base, IrqLine& irq, PowerFn power,
                                                           const StateReader* saved) {
  std::unique_ptr<ReducedPower> self(new ReducedPower(irq, std::move(power)));
  if (saved != nullptr) {
    const auto state = TRY(saved->get<ReducedPowerState>("power0"));
    const Lock lock(self->mutex_);
    self->events_ = state.events;
  }
  self->mapping_ = TRY(env.mmio.add(base, kSize, "power0", unowned(*self)));
  return self;
}

void ReducedPower::raise(uint32_t event) {
  {
    const Lock lock(mutex_);
    events_ |= event;
  }
  irq_.set(true);  // edge-triggered
  irq_.set(false);
}

uint64_t ReducedPower::io_read(IoAccess access) {
  const Lock lock(mutex_);
  return access.offset == kEvent && access.size == 4 ? std::exchange(events_, 0) : 0;
}

void ReducedPower::io_write(IoAccess access, uint64_t value) {
  if (access.offset == kSleepControl && (value & kSleepEnable) != 0 && ((value >> 2) & 7) == kSleepTypeOff) {
    power_(PowerEvent::shutdown, 0);
  } else if (access.offset == kReset && (value & 0xFF) == kResetValue) {
    power_(PowerEvent::reset, 0);
  }
}

void ReducedPower::save(StateWriter& out) const {
  const Lock lock(mutex_);
  out.put("power0", ReducedPowerState{events_});
}

void ReducedPower::reset() {
  const Lock lock(mutex_);
  events_ = 0;
}

}  // namespace lodge
