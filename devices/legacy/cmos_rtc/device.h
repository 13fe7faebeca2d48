// CmosRtc: the MC146818A clock and its RAM at ports 0x70 and 0x71. Time follows the host's UTC clock plus an offset that the
// guest changes when it sets the time. The alarm, periodic and update interrupts are not there yet.
//
// Registers from any vCPU thread, one mutex.
#pragma once

#include <functional>
#include <memory>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/legacy/cmos_rtc/state.h"

namespace lodge {

class CmosRtc final : public Device, public IoHandler {
 public:
  // `now` gives seconds since 1970, UTC; tests replace it.
  using Now = std::function<int64_t()>;
  // What firmware reads in the RAM.
  struct Board {
    uint64_t low_ram = 0;  // bytes below and above 4 GiB
    uint64_t high_ram = 0;
    uint32_t cpus = 1;                  // that are there at the start
    std::array<uint8_t, 2> floppies{};  // kinds of the drives, as the RAM numbers them; 0: none
  };
  [[nodiscard]] static Result<std::unique_ptr<CmosRtc>> create(const DeviceEnv& env, const Board& board, Now now,
                                                               const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return "rtc0"; }
  void save(StateWriter& out) const override;
  void reset() override;
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  explicit CmosRtc(Now now) : now_(std::move(now)) {}
  void describe_board(const Board& board);
  void put16(size_t at, uint64_t value) REQUIRES(mutex_);
  [[nodiscard]] uint8_t read_register(uint8_t index) REQUIRES(mutex_);
  void write_register(uint8_t index, uint8_t value) REQUIRES(mutex_);
  [[nodiscard]] uint8_t encode(int value) const REQUIRES(mutex_);
  [[nodiscard]] int decode(uint8_t value) const REQUIRES(mutex_);
  void load_time() REQUIRES(mutex_);
  void store_time() REQUIRES(mutex_);

  Now now_;
  Bus::Registration mapping_;
  mutable Mutex mutex_;
  CmosRtcState state_ GUARDED_BY(mutex_);
};

}  // namespace lodge
