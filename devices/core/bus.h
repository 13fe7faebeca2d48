// Bus: dispatches a vCPU's register accesses (I/O ports or MMIO) to handlers.
//
// The table is an immutable sorted snapshot. Each reader (one per vCPU thread) keeps its own reference and refreshes it when
// the generation moves, so no lock is held and no shared counter is touched while a handler runs. An access is dispatched
// only if it lies wholly inside one range. Ends are inclusive, so a range may reach the top of the address space.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace lodge {

struct IoAccess {
  uint64_t offset = 0;  // from the start of the range
  uint8_t size = 0;     // 1, 2, 4 or 8; wholly inside the range
  uint32_t vcpu = 0;
};

// Called from any vCPU thread, several at a time.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  [[nodiscard]] virtual uint64_t io_read(IoAccess access) = 0;
  virtual void io_write(IoAccess access, uint64_t value) = 0;
};

// A handler that outlives every bus it is on (machine-lifetime devices), in the form Bus::add takes.
[[nodiscard]] inline std::shared_ptr<IoHandler> unowned(IoHandler& handler) {
  return {std::shared_ptr<IoHandler>{}, &handler};
}

class Bus {
 public:
  explicit Bus(std::string name);

  // The range on the bus; removes itself when destroyed. A reader inside the handler keeps the handler alive.
  class Registration {
   public:
    Registration() = default;
    Registration(Bus* bus, uint64_t base) : bus_(bus), base_(base) {}
    Registration(Registration&& other) noexcept : bus_(std::exchange(other.bus_, nullptr)), base_(other.base_) {}
    Registration& operator=(Registration&& other) noexcept;
    ~Registration() { reset(); }
    void reset();
    [[nodiscard]] bool active() const { return bus_ != nullptr; }

   private:
    Bus* bus_ = nullptr;
    uint64_t base_ = 0;
  };

  // Error: the range is empty, wraps, or overlaps another, which is named. Any thread.
  [[nodiscard]] Result<Registration> add(uint64_t base, uint64_t size, std::string_view owner,
                                         std::shared_ptr<IoHandler> handler);

 private:
  struct Range {
    uint64_t first;
    uint64_t last;
    std::string owner;
    std::shared_ptr<IoHandler> handler;
  };
  using Table = std::vector<Range>;

 public:
  // One vCPU's view. Not shared between threads.
  class Reader {
   public:
    explicit Reader(Bus& bus) : bus_(&bus) {}
    // False when no range holds the whole access; then nothing was called.
    [[nodiscard]] bool read(uint64_t address, uint8_t size, uint32_t vcpu, uint64_t& value);
    [[nodiscard]] bool write(uint64_t address, uint8_t size, uint32_t vcpu, uint64_t value);

   private:
    [[nodiscard]] const Range* find(uint64_t address, uint8_t size);
    Bus* bus_;
    uint64_t generation_ = ~uint64_t{0};
    std::shared_ptr<const Table> table_;
  };

 private:
  void remove(uint64_t base);

  std::string name_;
  std::atomic<uint64_t> generation_{0};
  Mutex mutex_;
  std::shared_ptr<const Table> table_ GUARDED_BY(mutex_);
};

}  // namespace lodge
