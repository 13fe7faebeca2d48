// FixedPower: the pc's PIIX4 power management function at 00:01.3 (Intel 290562): PM1, PM timer (ACPI 6.5 section 4.8.3) and
// an SMBus without devices, where the function's registers put them; a GPE block of our own, reset port 0xCF9 and the
// 8042's reset line.
//
// Registers from any vCPU thread, one mutex for them and one for where they are; press_power_button() from control.
#pragma once

#include <array>
#include <chrono>
#include <memory>

#include "base/mutex.h"
#include "devices/chipset/power/state.h"
#include "devices/core/bus.h"
#include "devices/legacy/power/device.h"
#include "devices/pci/function.h"

namespace lodge {

class FixedPower final : public PowerDevice, public PciFunction {
 public:
  // Ports. The first three are where firmware puts them, and where they are without; vmm/boot/acpi.h has the same defaults.
  static constexpr uint16_t kPm1Event = 0x600;
  static constexpr uint16_t kPm1Control = 0x604;
  static constexpr uint16_t kTimer = 0x608;
  static constexpr uint16_t kPmSize = 64;
  static constexpr uint16_t kSmbusSize = 16;
  static constexpr uint16_t kGpe0 = 0xAFE0;
  static constexpr unsigned kHotplugGpe = 1;  // bit of the status: the method _E01
  static constexpr unsigned kCpuGpe = 2;      // the method _E02
  static constexpr unsigned kGenerationGpe = 3;
  static constexpr uint16_t kSmiCommand = 0xB2;
  static constexpr uint16_t kKeyboardCommand = 0x64;
  static constexpr uint8_t kAcpiEnable = 0xF1;
  static constexpr uint8_t kAcpiDisable = 0xF0;

  // `firmware`: it places the PM block; else it is in its place from the start.
  enum class Placed : uint8_t { from_start, by_firmware };
  [[nodiscard]] static Result<std::shared_ptr<FixedPower>> create(const DeviceEnv& env, IrqLine& sci, PowerFn power,
                                                                  Placed placed, const StateReader* saved);
  [[nodiscard]] std::string_view id() const override { return "power0"; }
  void press_power_button() override;
  void announce_hotplug() override { raise(kHotplugGpe); }
  void announce_cpus() override { raise(kCpuGpe); }
  void announce_generation() override { raise(kGenerationGpe); }
  void save(StateWriter& out) const override;
  void reset() override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;
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
  FixedPower(const DeviceEnv& env, IrqLine& sci, PowerFn power, Placed placed);
  [[nodiscard]] Result<void> map();
  void set_function(const FixedPowerState& state);
  void place();
  [[nodiscard]] uint64_t timer_nanoseconds() const REQUIRES(mutex_);
  void raise(unsigned gpe);
  void update_sci() REQUIRES(mutex_);
  [[nodiscard]] uint64_t read_pm(IoAccess access);
  void write_pm(IoAccess access, uint64_t value);
  [[nodiscard]] uint64_t read_gpe(IoAccess access);
  void write_gpe(IoAccess access, uint64_t value);
  [[nodiscard]] uint64_t read_none(IoAccess access);
  [[nodiscard]] uint64_t read_smi(IoAccess access);
  void write_smi(IoAccess access, uint64_t value);
  [[nodiscard]] uint64_t read_smbus(IoAccess access);
  void write_smbus(IoAccess access, uint64_t value);
  void write_reset(IoAccess access, uint64_t value);
  void write_keyboard(IoAccess access, uint64_t value);

  IrqLine& sci_;
  PowerFn power_;
  Placed placed_;
  std::array<Block, 3> blocks_{Block{*this, &FixedPower::read_gpe, &FixedPower::write_gpe},
                               Block{*this, &FixedPower::read_smi, &FixedPower::write_smi},
                               Block{*this, &FixedPower::read_none, &FixedPower::write_keyboard}};
  Block pm_block_{*this, &FixedPower::read_pm, &FixedPower::write_pm};
  Block smbus_block_{*this, &FixedPower::read_smbus, &FixedPower::write_smbus};
  Block reset_block_{*this, &FixedPower::read_none, &FixedPower::write_reset};
  std::array<Bus::Registration, 3> mappings_;
  // A block that follows the function's registers.
  struct Movable {
    uint16_t at = 0;  // 0: nowhere
    Bus::Registration mapping;
  };
  void move(Movable& what, uint16_t to, uint16_t size, Block& block) REQUIRES(place_mutex_);
  Mutex place_mutex_;
  Movable pm_ GUARDED_BY(place_mutex_);
  Movable smbus_ GUARDED_BY(place_mutex_);
  mutable Mutex mutex_;
  FixedPowerState state_ GUARDED_BY(mutex_);  // without what the function's configuration space has
  uint8_t smbus_status_ GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point timer_start_ GUARDED_BY(mutex_) = std::chrono::steady_clock::now();
};

}  // namespace lodge
