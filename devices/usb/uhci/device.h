// Uhci: the USB controller of the PIIX3 (Intel 290550), after the UHCI design guide 1.1, with two ports for USB 1.1.
//
// The guest's schedule is read once each millisecond while the guest lets the controller run, as there is no other way to
// hear of it; when nothing has moved for a while, eight frames at a time. Devices are full-speed whatever they were
// elsewhere, and their data toggles are taken for right.
//
// Registers on vCPU threads, one mutex. The schedule, resets and devices on one I/O loop, a frame at a time with the mutex
// held; devices never wait. quiesce, resume, reset, save from control.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/pci/function.h"
#include "devices/usb/controller.h"
#include "devices/usb/device.h"
#include "devices/usb/uhci/state.h"

namespace lodge {

class Uhci final : public Device, public PciFunction, public UsbController {
 public:
  // Of a clock that never goes back; tests replace it.
  using Now = std::function<EventLoop::Clock::time_point()>;
  struct Options {
    std::string id = "usb0";
    std::vector<UsbPlug> devices;
    Now now = EventLoop::Clock::now;
  };
  // Errors: there is no such port, or it is taken; the device is not one of full speed; the state is damaged.
  [[nodiscard]] static Result<std::shared_ptr<Uhci>> create(Options options, const DeviceEnv& env, const StateReader* saved);
  ~Uhci() override { unplug_devices(); }

  [[nodiscard]] std::string_view id() const override { return name(); }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;
  [[nodiscard]] std::vector<Counter> counters() const override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;

 private:
  using Clock = EventLoop::Clock;
  static constexpr std::chrono::milliseconds kFrameTime{1};
  class Port final : public UsbPort {
   public:
    explicit Port(Uhci& owner) : owner_(owner) {}
    void wake() override;
    [[nodiscard]] EventLoop& loop() override { return owner_.loop_; }

   private:
    Uhci& owner_;
    std::atomic<bool> woken_{false};
    friend class Uhci;
  };
  class Ports final : public IoHandler {
   public:
    explicit Ports(Uhci& owner) : owner_(owner) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    Uhci& owner_;
  };
  // How a descriptor went.
  enum class Outcome : uint8_t { done, waits, stopped, fatal };

  Uhci(Options options, const DeviceEnv& env);
  [[nodiscard]] Result<void> check(const UhciState& state) const;
  [[nodiscard]] bool running() const REQUIRES(mutex_) { return (s_.command & uhci::kCmdRun) != 0; }
  void wake();
  void work();
  void reset_controller() REQUIRES(mutex_);
  void fail(uint16_t status, std::string_view what) REQUIRES(mutex_);
  void update_interrupt() REQUIRES(mutex_);

  // ports.cc
  [[nodiscard]] Result<UsbPort*> side_of(const UsbPlug& plug) override;
  [[nodiscard]] uint32_t port_count() const override { return uhci::kPortCount; }
  void connect(const UsbPlug& plug) override;
  void disconnect(const UsbPlug& plug) override;
  void connection_changed(UhciPortState& port) REQUIRES(mutex_);
  [[nodiscard]] uint16_t read_port(size_t port) const REQUIRES(mutex_);
  void write_port(size_t port, uint16_t value) REQUIRES(mutex_);
  void begin_port_reset(UhciPortState& port) REQUIRES(mutex_);
  void finish_port_resets() REQUIRES(mutex_);
  void take_wakes() REQUIRES(mutex_);

  // registers.cc
  [[nodiscard]] uint32_t read_register(uint64_t offset) REQUIRES(mutex_);
  void write_register(uint64_t offset, uint32_t value) REQUIRES(mutex_);
  void write_command(uint16_t value) REQUIRES(mutex_);

  // schedule.cc
  void run_due_frames() REQUIRES(mutex_);
  [[nodiscard]] bool run_frame() REQUIRES(mutex_);
  [[nodiscard]] Outcome run_td(uint32_t at, bool queued, uhci::Td& td) REQUIRES(mutex_);
  [[nodiscard]] Outcome finish_td(uint32_t at, bool queued, uhci::Td& td, const UsbAnswer& answer) REQUIRES(mutex_);

  // packets.cc
  [[nodiscard]] UsbAnswer packet(const uhci::Td& td) REQUIRES(mutex_);
  [[nodiscard]] UsbAnswer setup_packet(UhciPortState& port, std::span<const std::byte> data) REQUIRES(mutex_);
  [[nodiscard]] UsbAnswer control_in(UhciPortState& port, UsbDevice& device, std::span<std::byte> room) REQUIRES(mutex_);
  [[nodiscard]] UsbAnswer control_out(UhciPortState& port, std::span<const std::byte> data) REQUIRES(mutex_);
  [[nodiscard]] UsbAnswer data_in(UhciPortState& port, UsbDevice& device, uint8_t endpoint, std::span<std::byte> room)
      REQUIRES(mutex_);
  [[nodiscard]] UsbAnswer data_out(UhciPortState& port, UsbDevice& device, uint8_t endpoint, std::span<const std::byte> data)
      REQUIRES(mutex_);

  EventLoop& loop_;
  Now now_;
  Ports ports_{*this};
  std::array<Port, uhci::kPortCount> port_sides_{Port(*this), Port(*this)};
  std::array<UsbDevice*, uhci::kPortCount> devices_{};  // by port; they come and go with the mutex held
  std::array<std::byte, uhci::kMostPacket> data_{};     // of the packet under way; the loop's
  std::vector<uint32_t> seen_;                          // queue heads since something moved; the loop's, as the next
  EventLoop::Timer timer_;
  mutable Mutex mutex_;
  UhciState s_ GUARDED_BY(mutex_);
  bool machine_runs_ GUARDED_BY(mutex_) = false;
  Clock::time_point next_frame_ GUARDED_BY(mutex_);
  uint32_t quiet_frames_ GUARDED_BY(mutex_) = 0;  // one after the other, in which nothing moved
  std::atomic<bool> posted_{false};
  std::atomic<uint64_t> frames_{0};
  std::atomic<uint64_t> packets_{0};
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace lodge
