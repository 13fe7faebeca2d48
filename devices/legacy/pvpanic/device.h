// pvpanic: the port (0x505 by custom) through which a guest's kernel says that it has crashed (QEMU's docs/specs/pvpanic).
// Reading gives the events that are known here, writing reports one. A crash that the guest survives is told once until it
// is reset, or a guest could fill the log. Nothing is saved.
#pragma once

#include <atomic>
#include <memory>

#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/core/power.h"

namespace lodge {

class PvPanic final : public Device, public IoHandler {
 public:
  static constexpr uint16_t kPort = 0x505;
  static constexpr uint8_t kPanicked = 1;     // the guest is dead
  static constexpr uint8_t kCrashLoaded = 2;  // it has crashed and goes on with its crash kernel
  [[nodiscard]] static Result<std::unique_ptr<PvPanic>> create(const DeviceEnv& env, PowerFn power);
  [[nodiscard]] std::string_view id() const override { return "panic0"; }
  void save(StateWriter&) const override {}
  void reset() override { crash_told_ = false; }
  uint64_t io_read(IoAccess) override { return kPanicked | kCrashLoaded; }
  void io_write(IoAccess access, uint64_t value) override;

 private:
  explicit PvPanic(PowerFn power) : power_(std::move(power)) {}
  PowerFn power_;
  std::atomic<bool> crash_told_{false};
  Bus::Registration mapping_;
};

}  // namespace lodge
