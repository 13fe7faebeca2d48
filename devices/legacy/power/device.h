// The registers through which a guest is switched off, reset and told of the power button.
//
// ReducedPower: the microvm's ACPI hardware-reduced block (ACPI 6.5 section 4.8.3.7) and event register.
// FixedPower: the pc's PM1, PM timer and GPE block (ACPI 6.5 section 4.8.3), reset port 0xCF9 and the 8042's reset line.
// Registers from any vCPU thread, one mutex each; press_power_button() from control.
#pragma once

#include <array>
#include <chrono>
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

  [[nodiscard]] static Result<std::unique_ptr<ReducedPower>> create(const DeviceEnv& env, uint64_t base, IrqLine& irq,
                                                                    PowerFn power, const StateReader* saved);
  [[nodiscard]] std::string_view id() const override { return "power0"; }
  void press_power_button() override { raise(kPowerButton); }
  void announce_hotplug() override { raise(kHotplug); }
  void announce_cpus() override { raise(kCpus); }
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

struct FixedPowerState {
  uint16_t status = 0;
  uint16_t enable = 0;
  uint16_t control = 0;
  std::array<uint8_t, 4> gpe{};
  uint64_t timer_nanoseconds = 0;
  friend bool operator==(const FixedPowerState&, const FixedPowerState&) = default;
};

template <>
struct Schema<FixedPowerState> {
  using S = FixedPowerState;
  static constexpr std::string_view name = "fixed-power";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "status", &S::status), field(2, "enable", &S::enable), field(3, "control", &S::control),
                 field(4, "gpe", &S::gpe), field(5, "timer-nanoseconds", &S::timer_nanoseconds)};
};

class FixedPower final : public PowerDevice {
 public:
  // Ports; vmm/boot/acpi.h has the same defaults and the machine passes these to it.
  static constexpr uint16_t kPm1Event = 0x600;
  static constexpr uint16_t kPm1Control = 0x604;
  static constexpr uint16_t kTimer = 0x608;
  static constexpr uint16_t kGpe0 = 0xAFE0;
  static constexpr unsigned kHotplugGpe = 1;  // bit of the status: the method _E01
  static constexpr unsigned kCpuGpe = 2;      // the method _E02
  static constexpr uint16_t kSmiCommand = 0xB2;
  static constexpr uint16_t kKeyboardCommand = 0x64;
  static constexpr uint8_t kAcpiEnable = 0xF1;
  static constexpr uint8_t kAcpiDisable = 0xF0;

  [[nodiscard]] static Result<std::unique_ptr<FixedPower>> create(const DeviceEnv& env, IrqLine& sci, PowerFn power,
                                                                  const StateReader* saved);
  [[nodiscard]] std::string_view id() const override { return "power0"; }
  void press_power_button() override;
  void announce_hotplug() override { raise(kHotplugGpe); }
  void announce_cpus() override { raise(kCpuGpe); }
  void save(StateWriter& out) const override;
  void reset() override;
  // Port 0xCF9, which the PCI root dispatches.
  [[nodiscard]] IoHandler& reset_port() { return reset_block_; }

 private:
  class Block final : public IoHandler {
   public:
    using Read = uint64_t (FixedPower::*)(IoAccess);
    using Write = void (FixedPower::*)(IoAccess, uint64_t);
    Block(FixedPower& owner, Read read, Write write) : owner_(owner), read_(read), write_(write) {}
    uint64_t io_read(IoAccess access) override { return (owner_.*read_)(access); }
    void io_write(IoAccess access, uint64_t value) override { (owner_.*write_)(access, value); }

   private:
    FixedPower& owner_;
    Read read_;
    Write write_;
  };
  FixedPower(IrqLine& sci, PowerFn power) : sci_(sci), power_(std::move(power)) {}
  [[nodiscard]] Result<void> map(const DeviceEnv& env);
  [[nodiscard]] uint64_t timer_nanoseconds() const REQUIRES(mutex_);
  void raise(unsigned gpe);
  void update_sci() REQUIRES(mutex_);
  [[nodiscard]] uint64_t read_pm(IoAccess access);
  void write_pm(IoAccess access, uint64_t value);
  [[nodiscard]] uint64_t read_gpe(IoAccess access);
  void write_gpe(IoAccess access, uint64_t value);
  [[nodiscard]] uint64_t read_none(IoAccess access);
  void write_smi(IoAccess access, uint64_t value);
  void write_reset(IoAccess access, uint64_t value);
  void write_keyboard(IoAccess access, uint64_t value);

  IrqLine& sci_;
  PowerFn power_;
  std::array<Block, 4> blocks_{Block{*this, &FixedPower::read_pm, &FixedPower::write_pm},
                               Block{*this, &FixedPower::read_gpe, &FixedPower::write_gpe},
                               Block{*this, &FixedPower::read_none, &FixedPower::write_smi},
                               Block{*this, &FixedPower::read_none, &FixedPower::write_keyboard}};
  Block reset_block_{*this, &FixedPower::read_none, &FixedPower::write_reset};
  std::array<Bus::Registration, 4> mappings_;
  mutable Mutex mutex_;
  FixedPowerState state_ GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point timer_start_ GUARDED_BY(mutex_) = std::chrono::steady_clock::now();
};

}  // namespace lodge
