// Rtl8139: a Realtek RTL8139C+, the network card of cheap PCs, in its plain (C) and its descriptor (C+) mode.
//
// Registers on vCPU threads, one mutex. Frames move and the timer runs on one I/O loop, to which a vCPU only posts; the
// mutex is held for one frame at a time. quiesce, resume, reset, save, set_link from control.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/net/frame_port.h"
#include "devices/net/nic.h"
#include "devices/pci/function.h"
#include "devices/rtl8139/registers.h"
#include "devices/rtl8139/state.h"

namespace lodge {

class Rtl8139 final : public Device, public PciFunction, public Nic, private FramePort::Client, private IoHandler {
 public:
  struct Options {
    std::string id;  // "net0"
    NetPort port;
    net::MacAddress mac{};
    bool link_up = true;
  };
  [[nodiscard]] static Result<std::shared_ptr<Rtl8139>> create(Options options, const DeviceEnv& env,
                                                               const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return name(); }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;
  [[nodiscard]] std::vector<Counter> counters() const override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;

  [[nodiscard]] net::MacAddress mac() const override;
  [[nodiscard]] bool link_up() const override;
  void set_link(bool up) override;
  [[nodiscard]] const NetPort& port() const override { return port_; }

 private:
  using Clock = EventLoop::Clock;
  Rtl8139(Options options, const DeviceEnv& env);
  [[nodiscard]] Result<void> load(const StateReader& saved);

  // Registers (registers.cc).
  [[nodiscard]] uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;
  [[nodiscard]] uint32_t get(uint32_t at, unsigned bytes) const REQUIRES(mutex_);
  [[nodiscard]] uint64_t get64(uint32_t at) const REQUIRES(mutex_);
  void put(uint32_t at, unsigned bytes, uint32_t value) REQUIRES(mutex_);
  [[nodiscard]] bool write_register(uint32_t at, unsigned bytes, uint32_t value, uint32_t mask) REQUIRES(mutex_);
  void show(uint32_t at) REQUIRES(mutex_);
  void write_command(uint8_t value) REQUIRES(mutex_);
  void write_tx_status(uint32_t at, uint32_t value) REQUIRES(mutex_);
  void write_eeprom_command(uint8_t value) REQUIRES(mutex_);
  void write_basic_control(uint16_t value) REQUIRES(mutex_);
  void dump_counters() REQUIRES(mutex_);
  void load_address() REQUIRES(mutex_);
  void reset_board() REQUIRES(mutex_);
  void reset_controller() REQUIRES(mutex_);
  void show_link() REQUIRES(mutex_);
  void raise(uint16_t cause) REQUIRES(mutex_);
  void update_interrupt() REQUIRES(mutex_);
  [[nodiscard]] bool plus(uint16_t bits) const REQUIRES(mutex_) { return (get(rtl8139::kPlusCommand, 2) & bits) != 0; }
  [[nodiscard]] bool enabled(uint8_t bit) const REQUIRES(mutex_) { return (get(rtl8139::kCommand, 1) & bit) != 0; }
  [[nodiscard]] bool in_loop() const REQUIRES(mutex_) {
    return (get(rtl8139::kTxConfig, 4) & rtl8139::kLoopback) == rtl8139::kLoopback;
  }

  // The timer, in steps of 30 ns.
  [[nodiscard]] uint32_t timer_now() const REQUIRES(mutex_);
  void arm_timer();

  // Frames (transmit.cc, receive.cc), on the loop.
  void wake();
  void work();
  void transmit();
  enum class Sent : uint8_t { one, nothing, later };
  [[nodiscard]] Sent transmit_one() REQUIRES(mutex_);
  [[nodiscard]] Sent transmit_plain() REQUIRES(mutex_);
  [[nodiscard]] Sent transmit_from(unsigned ring) REQUIRES(mutex_);
  struct Packet;
  [[nodiscard]] uint64_t ring_base(unsigned ring) const REQUIRES(mutex_);
  [[nodiscard]] bool gather(unsigned ring, Packet& packet) REQUIRES(mutex_);
  [[nodiscard]] bool put_out(Packet& packet) REQUIRES(mutex_);
  [[nodiscard]] bool send(std::span<std::byte> frame, const FramePort::Offload& offload) REQUIRES(mutex_);
  void come_back(std::span<std::byte> frame, const FramePort::Offload& offload) REQUIRES(mutex_);
  void give_back(unsigned ring, const Packet& packet, uint32_t status) REQUIRES(mutex_);
  [[nodiscard]] bool wants_frames() override;
  void take_frame(std::span<const std::byte> frame) override;
  void can_send() override { transmit(); }
  [[nodiscard]] bool wants_descriptor() REQUIRES(mutex_);
  [[nodiscard]] uint32_t ring_bytes() const REQUIRES(mutex_);
  [[nodiscard]] uint32_t ring_used() const REQUIRES(mutex_);
  [[nodiscard]] uint16_t accepts(std::span<const std::byte> frame) const REQUIRES(mutex_);
  void receive(std::span<const std::byte> frame) REQUIRES(mutex_);
  [[nodiscard]] bool store_plain(std::span<const std::byte> frame, uint16_t status) REQUIRES(mutex_);
  [[nodiscard]] bool store_plus(std::span<const std::byte> frame, uint32_t status, std::optional<uint16_t> tag)
      REQUIRES(mutex_);
  void lose() REQUIRES(mutex_);

  NetPort port_;
  net::MacAddress permanent_mac_;
  EventLoop& loop_;
  FramePort frames_;
  EventLoop::Timer timer_;           // the loop's, as those that follow
  EventLoop::Timer look_again_;      // for a descriptor
  std::vector<std::byte> packet_;    // that goes out
  std::vector<std::byte> segment_;   // that comes back
  std::vector<std::byte> received_;  // that comes in
  mutable Mutex mutex_;
  Rtl8139State s_ GUARDED_BY(mutex_);
  Clock::time_point resumed_ GUARDED_BY(mutex_);                 // when the timer began at its saved value
  std::optional<Clock::time_point> starved_ GUARDED_BY(mutex_);  // since when there is no descriptor for a frame
  bool running_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool timer_changed_ GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> tx_packets_{0};
  std::atomic<uint64_t> tx_bytes_{0};
  std::atomic<uint64_t> tx_dropped_{0};
  std::atomic<uint64_t> tx_errors_{0};
  std::atomic<uint64_t> rx_packets_{0};
  std::atomic<uint64_t> rx_bytes_{0};
  std::atomic<uint64_t> rx_dropped_{0};
};

}  // namespace lodge
