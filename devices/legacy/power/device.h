// The registers through which a guest is switched off, reset and told of the power button.
//
// ReducedPower: the microvm's ACPI hardware-reduced block (ACPI 6.5 section 4.8.3.7) and event register.
// The pc's: devices/chipset/power.
// Registers from any vCPU thread, one mutex each; press_power_button() from control.
#pragma once

#include <memory>
#include <tuple>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/core/power.h"

namespace lodge {

class PowerDevice : public Device {
 public:
  virtual void press_power_button() = 0;
  // The registers of PciHotplug have news.
  virtual void announce_hotplug() = 0;
  // Those of CpuHotplug have.
  virtual void announce_cpus() = 0;
  // The generation ID is another one.
  virtual void announce_generation() = 0;
};

struct ReducedPowerState {
  uint32_t events = 0;
  friend bool operator==(const ReducedPowerState&, const ReducedPowerState&) = default;
};

template <>
struct Schema<ReducedPowerState> {
  static constexpr std::string_view name = "reduced-power";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "events", &ReducedPowerState::events)};
};

class ReducedPower final : public PowerDevice, public IoHandler {
 public:
  // Offsets in the block, which is in MMIO.
  static constexpr uint64_t kSize = 16;
  static constexpr uint64_t kSleepControl = 0;
  static constexpr uint64_t kSleepStatus = 1;
  static constexpr uint64_t kReset = 2;
  static constexpr uint64_t kEvent = 4;  // 32 bits, cleared by reading
  static constexpr uint8_t kResetValue = 1;
  static constexpr uint32_t kPowerButton = 1;
  static constexpr uint32_t kHotplug = 2;
  static constexpr uint32_t kCpus = 4;
  static constexpr uint32_t kGeneration = 8;

  [[nodiscard]] static Result<std::unique_ptr<ReducedPower>> create(const DeviceEnv& env, uint64_t base, IrqLine& irq,
                                                                    PowerFn power, const StateReader* saved);
  [[nodiscard]] std::string_view id() const override { return "power0"; }
  void press_power_button() override { raise(kPowerButton); }
  void announce_hotplug() override { raise(kHotplug); }
  void announce_cpus() override { raise(kCpus); }
  void announce_generation() override { raise(kGeneration); }
  void save(StateWriter& out) const override;
  void reset() override;
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  ReducedPower(IrqLine& irq, PowerFn power) : irq_(irq), power_(std::move(power)) {}
  void raise(uint32_t event);
  IrqLine& irq_;
  PowerFn power_;
  Bus::Registration mapping_;
  mutable Mutex mutex_;
  uint32_t events_ GUARDED_BY(mutex_) = 0;
};

}  // namespace lodge
