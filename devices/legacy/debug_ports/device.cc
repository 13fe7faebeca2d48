#include "devices/legacy/debug_ports/device.h"

#include <unistd.h>

#include "base/fd.h"

namespace lodge {

Result<std::unique_ptr<DebugConsole>> DebugConsole::create(const DeviceEnv& env) {
  auto self = std::make_unique<DebugConsole>();
  self->mapping_ = TRY(env.pio.add(kPort, 1, "debug-console", unowned(*self)));
  return self;
}

void DebugConsole::io_write(IoAccess, uint64_t value) {
  const Lock lock(mutex_);
  line_.push_back(static_cast<char>(value));
  if (line_.back() == '\n' || line_.size() >= 512) {
    (void)write_all(STDERR_FILENO, line_);  // a lost debug line is no reason to stop a guest
    line_.clear();
  }
}

Result<std::unique_ptr<DebugExit>> DebugExit::create(const DeviceEnv& env, PowerFn power) {
  std::unique_ptr<DebugExit> self(new DebugExit(std::move(power)));
  self->mapping_ = TRY(env.pio.add(kPort, 4, "debug-exit", unowned(*self)));
  return self;
}

}  // namespace lodge
