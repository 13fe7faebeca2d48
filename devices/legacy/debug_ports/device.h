// Two ports for tests and firmware: 0x402 prints each byte written to standard error (reads give 0xE9, as firmware expects),
// 0xF4 ends the monitor with exit status (value << 1) | 1. Each exists only when asked for. No state.
#pragma once

#include <memory>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/core/power.h"

namespace lodge {

class DebugConsole final : public Device, public IoHandler {
 public:
  static constexpr uint16_t kPort = 0x402;
  [[nodiscard]] static Result<std::unique_ptr<DebugConsole>> create(const DeviceEnv& env);
  [[nodiscard]] std::string_view id() const override { return "debug-console"; }
  void save(StateWriter&) const override {}
  uint64_t io_read(IoAccess) override { return 0xE9; }
  void io_write(IoAccess access, uint64_t value) override;

 private:
  Bus::Registration mapping_;
  Mutex mutex_;
  std::string line_ GUARDED_BY(mutex_);
};

class DebugExit final : public Device, public IoHandler {
 public:
  static constexpr uint16_t kPort = 0xF4;
  [[nodiscard]] static Result<std::unique_ptr<DebugExit>> create(const DeviceEnv& env, PowerFn power);
  [[nodiscard]] std::string_view id() const override { return "debug-exit"; }
  void save(StateWriter&) const override {}
  uint64_t io_read(IoAccess) override { return 0; }
  void io_write(IoAccess, uint64_t value) override { power_(PowerEvent::exit, static_cast<int>(((value << 1) | 1) & 0xFF)); }

 private:
  explicit DebugExit(PowerFn power) : power_(std::move(power)) {}
  PowerFn power_;
  Bus::Registration mapping_;
};

}  // namespace lodge
