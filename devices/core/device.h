// Device: what the machine knows of everything it owns, and DeviceEnv: all that a device may touch.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/io/event_loop.h"
#include "base/memory/guest_memory.h"
#include "base/state/record.h"
#include "devices/core/bus.h"
#include "devices/core/irq.h"
#include "devices/core/power.h"

namespace lodge {

// A named counter for query-stats; read from any thread.
struct Counter {
  std::string_view name;
  uint64_t value;
};

// Created fresh or from a saved state by one function (create), never restored afterwards. All calls on the control thread.
class Device {
 public:
  using Done = std::function<void()>;
  virtual ~Device() = default;
  // From the configuration ("disk0"); the key in a saved state, never an index.
  [[nodiscard]] virtual std::string_view id() const = 0;
  // Stops all work; `done` runs (on any thread) once no I/O is in flight. Idempotent.
  virtual void quiesce(Done done) { done(); }  // NOLINT(performance-unnecessary-value-param): who waits keeps it
  virtual void resume() {}
  // Only while quiesced and with the vCPUs stopped.
  virtual void save(StateWriter& out) const = 0;
  // The guest was reset; vCPUs are stopped.
  virtual void reset() {}
  [[nodiscard]] virtual std::vector<Counter> counters() const { return {}; }
};

// The I/O loops. pick() spreads work over them in turn; any thread.
class LoopPool {
 public:
  explicit LoopPool(std::vector<EventLoop*> loops) : loops_(std::move(loops)) {}
  [[nodiscard]] EventLoop& pick() { return *loops_[next_.fetch_add(1, std::memory_order_relaxed) % loops_.size()]; }
  [[nodiscard]] size_t size() const { return loops_.size(); }

 private:
  std::vector<EventLoop*> loops_;
  std::atomic<size_t> next_{0};
};

// Everything a device may touch. Outlives every device.
struct DeviceEnv {
  GuestMemory& memory;
  Bus& mmio;
  Bus& pio;
  MsiFactory& msi;
  Doorbells& doorbells;
  EventLoop& control;
  LoopPool& loops;
  std::function<IrqLine&(uint32_t gsi)> line = {};  // inputs of the interrupt controllers
  PowerFn power = {};
};

}  // namespace lodge
