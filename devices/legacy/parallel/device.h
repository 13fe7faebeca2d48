// ParallelPort: a standard parallel port of a PC with a printer on it (IEEE 1284-2000, compatibility mode; IBM's parallel
// adapter): three registers. It gives only; what comes from the other side goes nowhere.
//
//   0  data     the eight data lines, as they were written
//   1  status   0x80 not busy, 0x40 acknowledges (0 then), 0x20 out of paper, 0x10 selected, 0x08 no error; 0x07 always
//   2  control  0x01 strobe, 0x02 line feed, 0x04 not reset, 0x08 select, 0x10 interrupt at the acknowledgement; 0xE0 always
//
// A byte is taken when the strobe begins, and acknowledged when it ends; while the other side is slow, the printer is busy.
// Registers from any vCPU thread behind one mutex. Output is gathered and written on the event loop, as with serial ports.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/char_backend.h"
#include "devices/core/device.h"
#include "devices/legacy/parallel/state.h"

namespace lodge {

class ParallelPort final : public Device, public IoHandler {
 public:
  static constexpr uint64_t kPorts = 3;

  struct Options {
    std::string id;  // "parallel0"
    uint16_t port = 0x378;
    std::unique_ptr<CharBackend> backend;
  };
  [[nodiscard]] static Result<std::unique_ptr<ParallelPort>> create(Options options, const DeviceEnv& env, IrqLine& irq,
                                                                    const StateReader* saved);
  ~ParallelPort() override;

  [[nodiscard]] std::string_view id() const override { return options_.id; }
  void save(StateWriter& out) const override;
  void reset() override;
  void quiesce(Done done) override;
  [[nodiscard]] CharBackend& backend() { return *options_.backend; }

  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  ParallelPort(Options options, const DeviceEnv& env, IrqLine& irq);
  [[nodiscard]] bool has_room() const REQUIRES(mutex_);
  [[nodiscard]] uint8_t take_status() REQUIRES(mutex_);
  [[nodiscard]] bool write_control(uint8_t value) REQUIRES(mutex_);
  [[nodiscard]] bool acknowledge() REQUIRES(mutex_);
  void take_byte() REQUIRES(mutex_);
  void interrupt();
  void flush();

  Options options_;
  const DeviceEnv env_;
  IrqLine& irq_;
  Bus::Registration mapping_;
  EventLoop::Timer timer_;                                      // on the loop
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work checks it; on the loop
  mutable Mutex mutex_;
  ParallelState regs_ GUARDED_BY(mutex_);
  size_t in_hand_ GUARDED_BY(mutex_) = 0;          // bytes that are being written
  mutable bool saved_ GUARDED_BY(mutex_) = false;  // save() was called, and nothing was written since
  bool flush_posted_ GUARDED_BY(mutex_) = false;
};

}  // namespace lodge
