// I6300Esb: the watchdog of the Intel 6300ESB I/O controller hub (data sheet 300641, chapter 16), a PCI function. Its first
// stage leads to the second one, whose end is what the machine acts upon. The interrupts that the first stage may be set to
// raise (SMI, or input 10 of an APIC that is not there) reach nobody, only their status bit is set.
//
// Registers from any vCPU thread, one mutex; the end of a stage on the control loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/pci/function.h"
#include "devices/watchdog/i6300esb/state.h"
#include "devices/watchdog/timer.h"

namespace lodge {

class I6300Esb final : public Device, public PciFunction {
 public:
  struct Options {
    std::string id;                 // "watchdog0"
    std::function<void()> expired;  // on the control loop
    WatchdogTimer::Now now = {};
  };
  [[nodiscard]] static Result<std::shared_ptr<I6300Esb>> create(Options options, const DeviceEnv& env,
                                                                const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return name(); }
  void quiesce(Done done) override;
  void resume() override { timer_.resume(); }
  void save(StateWriter& out) const override;
  void reset() override;
  [[nodiscard]] uint32_t config_read(uint16_t offset, uint8_t size) override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;

 private:
  I6300Esb(Options options, const DeviceEnv& env);
  [[nodiscard]] Result<void> load(const StateReader& saved);
  [[nodiscard]] bool enabled() const REQUIRES(mutex_);
  [[nodiscard]] uint32_t read_register(uint64_t offset) const;
  void write_register(uint64_t offset, uint64_t value);
  void unlocked_write(uint64_t offset, uint32_t value) REQUIRES(mutex_);
  void write_lock(uint8_t value) REQUIRES(mutex_);
  void start_stage(uint8_t stage) REQUIRES(mutex_);
  void stage_over();

  class Registers final : public IoHandler {
   public:
    explicit Registers(I6300Esb& owner) : owner_(owner) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override { owner_.write_register(access.offset, value); }

   private:
    I6300Esb& owner_;
  };

  std::function<void()> expired_;
  Registers registers_{*this};
  WatchdogTimer timer_;
  mutable Mutex mutex_;
  I6300EsbState s_ GUARDED_BY(mutex_);
};

}  // namespace lodge
