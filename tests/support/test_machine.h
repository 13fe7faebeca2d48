// TestMachine: all that a device may touch (DeviceEnv), without KVM: guest RAM, buses, recorders for interrupts, doorbells
// and power events, a PCI root. Loops run on the test's thread, or the I/O loop on a thread of its own.
#pragma once

#include <map>
#include <memory>
#include <stdexcept>
#include <vector>

#include "base/io/loop_thread.h"
#include "devices/core/device.h"
#include "devices/pci/root.h"
#include "tests/support/device_driver.h"

namespace lodge::test {

class RecordingLine final : public IrqLine {
 public:
  void set(bool asserted) override {
    raised += asserted && !level ? 1 : 0;
    level = asserted;
  }
  std::atomic<bool> level{false};
  std::atomic<int> raised{0};
};

class RecordingMsi final : public MsiFactory {
 public:
  struct State {
    std::atomic<int> triggers{0};
    uint64_t address = 0;
    uint32_t data = 0;
    bool enabled = false;
    EventFd event = must(EventFd::create());
  };
  class Vector final : public MsiVector {
   public:
    explicit Vector(std::shared_ptr<State> state) : state_(std::move(state)) {}
    Result<void> configure(uint64_t address, uint32_t data, bool enabled) override {
      state_->address = address;
      state_->data = data;
      state_->enabled = enabled;
      return {};
    }
    void trigger() override { ++state_->triggers; }
    int event_fd() const override { return state_->event.get(); }

   private:
    std::shared_ptr<State> state_;
  };
  Result<std::unique_ptr<MsiVector>> create_msi() override {
    if (vectors.size() >= limit) {
      return fail("no interrupt routes are left");
    }
    vectors.push_back(std::make_shared<State>());
    return std::make_unique<Vector>(vectors.back());
  }
  std::vector<std::shared_ptr<State>> vectors;
  size_t limit = 100000;
};

class RecordingDoorbells final : public Doorbells {
 public:
  Result<void> add(const Bell& bell, int event_fd) override {
    bells.emplace_back(bell, event_fd);
    return {};
  }
  void remove(const Bell& bell, int event_fd) override {
    if (std::erase(bells, std::pair(bell, event_fd)) != 1) {
      throw std::logic_error("a doorbell is removed that is not there");
    }
  }
  std::vector<std::pair<Bell, int>> bells;
};

class TestMachine {
 public:
  enum class Loops : uint8_t { here, threads };
  static constexpr uint64_t kMemory = 16 * kMiB;

  explicit TestMachine(Loops loops = Loops::here) : control(must(EventLoop::create("control"))) {
    const GuestMemory::Range range{Gpa{0}, kMemory};
    memory = must(GuestMemory::create({&range, 1}, {}));
    std::vector<EventLoop*> io;
    if (loops == Loops::threads) {
      for (int i = 0; i < 2; ++i) {
        threads.push_back(must(LoopThread::start("io", {})));
        io.push_back(&threads.back()->loop());
      }
    } else {
      io.push_back(control.get());
    }
    pool = std::make_unique<LoopPool>(std::move(io));
    env = std::make_unique<DeviceEnv>(
        DeviceEnv{.memory = *memory,
                  .mmio = mmio,
                  .pio = pio,
                  .msi = msi,
                  .doorbells = doorbells,
                  .control = *control,
                  .loops = *pool,
                  .line = [this](uint32_t gsi) -> IrqLine& { return lines[gsi]; },
                  .power = [this](PowerEvent event, int code) { power.emplace_back(event, code); }});
    root = must(PciRoot::create({.gsi_of = [](uint8_t slot, uint8_t pin) { return 16U + (slot + pin - 1U) % 8; },
                                 .line = [this](uint32_t gsi) -> IrqLine& { return lines[gsi]; }},
                                nullptr));
    must(root->map_ports(pio, nullptr));
    must(root->map_ecam(mmio, kEcam));
  }

  static constexpr uint64_t kEcam = 0xE000'0000;

  uint64_t in(uint64_t port, uint8_t size = 1) {
    uint64_t value = ~uint64_t{0};
    (void)pio_reader.read(port, size, 0, value);
    return truncate_to(value, size);
  }
  void out(uint64_t port, uint64_t value, uint8_t size = 1) { (void)pio_reader.write(port, size, 0, value); }
  uint64_t read(uint64_t address, uint8_t size) {
    uint64_t value = ~uint64_t{0};
    (void)mmio_reader.read(address, size, 0, value);
    return truncate_to(value, size);
  }
  void write(uint64_t address, uint64_t value, uint8_t size) { (void)mmio_reader.write(address, size, 0, value); }
  uint32_t config(uint8_t slot, uint16_t offset, uint8_t size = 4) {
    return static_cast<uint32_t>(read(kEcam + (uint64_t{slot} << 15) + offset, size));
  }
  void set_config(uint8_t slot, uint16_t offset, uint32_t value, uint8_t size = 4) {
    write(kEcam + (uint64_t{slot} << 15) + offset, value, size);
  }

  template <class Condition>
  bool run_until(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) {
        return false;
      }
      control->run_once(std::chrono::milliseconds(1));
    }
    return true;
  }
  // Lets what is posted happen, without waiting for anything in particular.
  void turn(int count = 3) {
    for (int i = 0; i < count; ++i) {
      control->run_once(std::chrono::nanoseconds(0));
    }
  }

  std::unique_ptr<EventLoop> control;
  std::vector<std::unique_ptr<LoopThread>> threads;
  std::unique_ptr<LoopPool> pool;
  std::unique_ptr<GuestMemory> memory;
  Bus mmio{"memory"};
  Bus pio{"port"};
  Bus::Reader mmio_reader{mmio};
  Bus::Reader pio_reader{pio};
  RecordingMsi msi;
  RecordingDoorbells doorbells;
  std::map<uint32_t, RecordingLine> lines;
  std::vector<std::pair<PowerEvent, int>> power;
  std::unique_ptr<DeviceEnv> env;
  std::unique_ptr<PciRoot> root;
};

}  // namespace lodge::test
