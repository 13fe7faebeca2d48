// Ib700: the watchdog of the iBASE IB700 board, two ports that are only written: 443h starts a countdown of 30 seconds less
// two for each unit of the lower four bits, 441h stops it. What is written to 441h does not matter.
//
// Registers from any vCPU thread; the end on the control loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/watchdog/ib700/state.h"
#include "devices/watchdog/timer.h"

namespace lodge {

class Ib700 final : public Device, public IoHandler {
 public:
  static constexpr uint16_t kStop = 0x441;
  static constexpr uint16_t kStart = 0x443;
  struct Options {
    std::string id;                 // "watchdog0"
    std::function<void()> expired;  // on the control loop
    WatchdogTimer::Now now = {};
  };
  [[nodiscard]] static Result<std::unique_ptr<Ib700>> create(Options options, const DeviceEnv& env,
                                                             const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return id_; }
  void quiesce(Done done) override;
  void resume() override { timer_.resume(); }
  void save(StateWriter& out) const override;
  void reset() override { timer_.stop(); }
  uint64_t io_read(IoAccess access) override { return truncate_to(~uint64_t{0}, access.size); }
  void io_write(IoAccess access, uint64_t value) override;

 private:
  Ib700(Options options, const DeviceEnv& env)
      : id_(std::move(options.id)), timer_(env.control, std::move(options.expired), std::move(options.now)) {}

  std::string id_;
  WatchdogTimer timer_;
  Bus::Registration mapping_;
};

}  // namespace lodge
