#include "devices/legacy/pvpanic/device.h"

namespace lodge {

Result<std::unique_ptr<PvPanic>> PvPanic::create(const DeviceEnv& env, PowerFn power) {
  std::unique_ptr<PvPanic> self(new PvPanic(std::move(power)));
  self->mapping_ = TRY(env.pio.add(kPort, 1, "panic0", unowned(*self)));
  return self;
}

void PvPanic::io_write(IoAccess access, uint64_t value) {
  if ((value & kPanicked) != 0) {
    power_(PowerEvent::panicked, static_cast<int>(access.vcpu));
  } else if ((value & kCrashLoaded) != 0 && !crash_told_.exchange(true)) {
    power_(PowerEvent::crash_loaded, static_cast<int>(access.vcpu));
  }
}

}  // namespace lodge
