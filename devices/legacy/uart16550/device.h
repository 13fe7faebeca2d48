// Uart16550: a serial port as PCs have it (National Semiconductor PC16550D), with FIFOs and loopback.
//
// Registers from any vCPU thread behind one mutex. Output is gathered and written on the event loop, so a guest that prints
// pays one exit a byte and no system call; when the other side is slow, the transmitter stays busy and nothing is lost.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/char_backend.h"
#include "devices/core/device.h"
#include "devices/legacy/uart16550/state.h"

namespace lodge {

class Uart16550 final : public Device, public IoHandler {
 public:
  static constexpr uint64_t kPorts = 8;

  struct Options {
    std::string id;
    uint16_t port = 0x3F8;
    std::unique_ptr<CharBackend> backend;
  };
  [[nodiscard]] static Result<std::unique_ptr<Uart16550>> create(Options options, const DeviceEnv& env, IrqLine& irq,
                                                                 const StateReader* saved);
  ~Uart16550() override;

  [[nodiscard]] std::string_view id() const override { return options_.id; }
  void save(StateWriter& out) const override;
  void reset() override;
  void quiesce(Done done) override;
  [[nodiscard]] CharBackend& backend() { return *options_.backend; }

  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  Uart16550(Options options, const DeviceEnv& env, IrqLine& irq);
  void write_register(uint64_t offset, uint8_t value) REQUIRES(mutex_);
  void transmit(uint8_t value) REQUIRES(mutex_);
  [[nodiscard]] uint8_t line_status() const REQUIRES(mutex_);
  [[nodiscard]] uint8_t modem_status() const REQUIRES(mutex_);
  [[nodiscard]] uint8_t interrupt_id() const REQUIRES(mutex_);
  void update_irq() REQUIRES(mutex_);
  void flush();
  [[nodiscard]] size_t receive(std::span<const std::byte> bytes);
  [[nodiscard]] size_t receive_room() const REQUIRES(mutex_);

  Options options_;
  const DeviceEnv env_;
  IrqLine& irq_;
  Bus::Registration mapping_;
  EventLoop::Timer timer_;                                      // on the loop
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work checks it; on the loop
  mutable Mutex mutex_;
  Uart16550State regs_ GUARDED_BY(mutex_);  // without the two byte lists, which follow
  std::deque<uint8_t> receive_ GUARDED_BY(mutex_);
  std::vector<uint8_t> transmit_ GUARDED_BY(mutex_);
  mutable bool saved_ GUARDED_BY(mutex_) = false;  // save() was called, and nothing was written since
  bool flush_posted_ GUARDED_BY(mutex_) = false;
  bool input_waits_ GUARDED_BY(mutex_) = false;
};

}  // namespace lodge
