// CmosRtc: the MC146818A clock and its RAM at ports 0x70 and 0x71, with its periodic, alarm and update interrupts. Time
// follows the host's UTC clock plus an offset that the guest changes when it sets the time.
//
// What has happened (status C) is found out when the guest asks; a timer runs only while an interrupt is enabled and the
// guest has seen the last one. Ticks that the guest was too slow for are dropped.
//
// Registers from any vCPU thread, one mutex; the timer on the control loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/legacy/cmos_rtc/state.h"

namespace lodge {

class CmosRtc final : public Device, public IoHandler {
 public:
  // Nanoseconds since 1970, UTC; tests replace it.
  using Now = std::function<int64_t()>;
  // What firmware reads in the RAM.
  struct Board {
    uint64_t low_ram = 0;  // bytes below and above 4 GiB
    uint64_t high_ram = 0;
    uint32_t cpus = 1;                  // that are there at the start
    std::array<uint8_t, 2> floppies{};  // kinds of the drives, as the RAM numbers them; 0: none
  };
  struct Options {
    Board board;
    int64_t offset_seconds = 0;  // guest time minus UTC, at the start
    Now now;
    std::function<void(int64_t offset_seconds)> time_set = {};  // the guest changed it; on the control loop
  };
  [[nodiscard]] static Result<std::unique_ptr<CmosRtc>> create(Options options, const DeviceEnv& env, IrqLine& irq,
                                                               const StateReader* saved);
  ~CmosRtc() override { *alive_ = false; }

  [[nodiscard]] std::string_view id() const override { return "rtc0"; }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  CmosRtc(Options options, EventLoop& loop, IrqLine& irq) : options_(std::move(options)), loop_(loop), irq_(irq) {}
  void describe_board(const Board& board);
  void put16(size_t at, uint64_t value) REQUIRES(mutex_);
  [[nodiscard]] uint8_t read_register(uint8_t index) REQUIRES(mutex_);
  void write_register(uint8_t index, uint8_t value) REQUIRES(mutex_);
  void write_status_b(uint8_t value) REQUIRES(mutex_);
  void load_time() REQUIRES(mutex_);
  void store_time() REQUIRES(mutex_);
  [[nodiscard]] bool held() const REQUIRES(mutex_);
  [[nodiscard]] int64_t guest_second(int64_t now) const REQUIRES(mutex_);

  // interrupts.cc
  [[nodiscard]] uint8_t enabled() const REQUIRES(mutex_);
  [[nodiscard]] bool running() const REQUIRES(mutex_);
  [[nodiscard]] bool in_update() const REQUIRES(mutex_);
  void start_watching() REQUIRES(mutex_);
  void catch_up() REQUIRES(mutex_);
  [[nodiscard]] uint8_t take_flags() REQUIRES(mutex_);
  void update_line() REQUIRES(mutex_);
  [[nodiscard]] std::optional<int64_t> due(uint8_t kinds) const REQUIRES(mutex_);
  void ask_for_timer() REQUIRES(mutex_);
  void arm(uint8_t kinds) REQUIRES(mutex_);
  void fire();

  Options options_;
  EventLoop& loop_;
  IrqLine& irq_;
  Bus::Registration mapping_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  EventLoop::Timer timer_;  // control loop
  mutable Mutex mutex_;
  CmosRtcState state_ GUARDED_BY(mutex_);
  int64_t seen_ GUARDED_BY(mutex_) = 0;         // up to when state_.flags tell what happened
  int64_t seen_second_ GUARDED_BY(mutex_) = 0;  // the guest's second at that time
  int64_t told_offset_ GUARDED_BY(mutex_) = 0;
  bool armed_ GUARDED_BY(mutex_) = false;
  bool asked_ GUARDED_BY(mutex_) = false;
  bool quiet_ GUARDED_BY(mutex_) = false;
};

}  // namespace lodge
