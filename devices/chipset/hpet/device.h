// Hpet: the high precision event timer (IA-PC HPET specification 1.0a): a counter of 64 bits that counts every 10 ns, and
// three comparators, one-shot or periodic, of 64 or 32 bits. Interrupts go to the inputs of the I/O APIC or, with legacy
// replacement, the first two to those of the 8254 and of the real-time clock, which then have none. Messages (FSB
// interrupts) are not offered.
//
// Time stands still while the guest does. No more than one interrupt comes of what was missed. Registers from any vCPU
// thread, one mutex; timers on the control loop.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "devices/chipset/hpet/state.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"

namespace lodge {

class Hpet final : public Device, public IoHandler {
 public:
  static constexpr uint64_t kBase = 0xFED0'0000;
  static constexpr uint64_t kSize = 1024;
  static constexpr size_t kTimers = 3;
  static constexpr uint64_t kTickNs = 10;
  // The lower half of the capabilities, which ACPI's table has too: revision 1, three timers of 64 bits, legacy replacement.
  static constexpr uint32_t kId = 0x8086A201;
  // Input 0 is the 8254's: the I/O APIC has it at 2.
  static constexpr uint32_t kTimerGsi = 0;
  static constexpr uint32_t kClockGsi = 8;
  // What is missed in between comes as one interrupt: bounds the host's work.
  static constexpr int64_t kLeastNs = 50'000;

  using Now = std::function<int64_t()>;  // nanoseconds of a clock that never goes back
  struct Options {
    std::function<IrqLine&(uint32_t gsi)> line;  // of 0 and 8, without the real-time clock's part
    std::function<void(bool on)> legacy;         // legacy replacement begins or ends; any vCPU thread, or control
    Now now = {};
  };
  [[nodiscard]] static Result<std::unique_ptr<Hpet>> create(Options options, const DeviceEnv& env, const StateReader* saved);
  ~Hpet() override { *alive_ = false; }

  [[nodiscard]] std::string_view id() const override { return "hpet0"; }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  Hpet(Options options, const DeviceEnv& env);
  [[nodiscard]] Result<void> load(const StateReader& saved);
  [[nodiscard]] bool running() const REQUIRES(mutex_);
  [[nodiscard]] uint64_t counter() const REQUIRES(mutex_);
  [[nodiscard]] uint64_t read_register(uint64_t offset) const REQUIRES(mutex_);
  void write_register(uint64_t offset, uint64_t value, uint64_t mask) REQUIRES(mutex_);
  void write_config(uint64_t value) REQUIRES(mutex_);
  void write_timer(size_t index, uint64_t reg, uint64_t value, uint64_t mask) REQUIRES(mutex_);
  void write_comparator(HpetTimerState& timer, uint64_t value, uint64_t mask) REQUIRES(mutex_);
  void set_counter(uint64_t value) REQUIRES(mutex_);
  void set_legacy(bool on) REQUIRES(mutex_);
  [[nodiscard]] std::optional<uint32_t> input_of(size_t index) const REQUIRES(mutex_);
  [[nodiscard]] std::optional<uint64_t> ticks_left(size_t index) const REQUIRES(mutex_);
  [[nodiscard]] std::optional<int64_t> next_ns() const REQUIRES(mutex_);
  void catch_up() REQUIRES(mutex_);
  void fire(size_t index) REQUIRES(mutex_);
  void update_lines() REQUIRES(mutex_);
  void ask_for_timer() REQUIRES(mutex_);
  void arm(int64_t least) REQUIRES(mutex_);
  void on_timer();

  Options options_;
  EventLoop& loop_;
  Bus::Registration mapping_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work checks it; on the loop
  EventLoop::Timer timer_;                                      // control loop
  mutable Mutex mutex_;
  uint64_t config_ GUARDED_BY(mutex_) = 0;
  uint64_t status_ GUARDED_BY(mutex_) = 0;
  std::array<HpetTimerState, kTimers> timers_ GUARDED_BY(mutex_);
  uint64_t base_ GUARDED_BY(mutex_) = 0;    // the counter at
  int64_t base_ns_ GUARDED_BY(mutex_) = 0;  // this time, while it runs
  uint64_t seen_ GUARDED_BY(mutex_) = 0;    // the counter when the comparators were last looked at
  uint32_t raised_ GUARDED_BY(mutex_) = 0;  // inputs that are held, by number
  bool legacy_ GUARDED_BY(mutex_) = false;  // as it was last told
  bool paused_ GUARDED_BY(mutex_) = true;
  bool asked_ GUARDED_BY(mutex_) = false;
  int64_t armed_ GUARDED_BY(mutex_) = 0;  // what the loop's timer waits for; 0: there is none
};

}  // namespace lodge
