// E1000: an Intel 82540EM, the network card that every system of its time has a driver for.
//
// Registers on vCPU threads, one mutex. Frames move on one I/O loop, to which a vCPU only posts; the mutex is held for one
// frame at a time. quiesce, resume, reset, save, set_link from control.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/e1000/registers.h"
#include "devices/e1000/state.h"
#include "devices/net/frame_port.h"
#include "devices/net/nic.h"
#include "devices/pci/function.h"

namespace lodge {

class E1000 final : public Device, public PciFunction, public Nic, private FramePort::Client {
 public:
  struct Options {
    std::string id;  // "net0"
    NetPort port;
    net::MacAddress mac{};
    bool link_up = true;
  };
  [[nodiscard]] static Result<std::shared_ptr<E1000>> create(Options options, const DeviceEnv& env,
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
  E1000(Options options, const DeviceEnv& env);
  [[nodiscard]] Result<void> load(const StateReader& saved);

  // Registers (device.cc).
  [[nodiscard]] uint32_t& reg(uint32_t offset) REQUIRES(mutex_) { return s_.registers[offset / 4]; }
  [[nodiscard]] uint32_t get(uint32_t offset) const REQUIRES(mutex_) { return s_.registers[offset / 4]; }
  [[nodiscard]] uint32_t read_register(uint32_t offset);
  void write_register(uint32_t offset, uint32_t value);
  [[nodiscard]] uint32_t read_locked(uint32_t offset) REQUIRES(mutex_);
  void write_locked(uint32_t offset, uint32_t value) REQUIRES(mutex_);
  void reset_registers() REQUIRES(mutex_);
  void raise(uint32_t cause) REQUIRES(mutex_);
  void update_interrupt() REQUIRES(mutex_);
  void show_link() REQUIRES(mutex_);

  // PHY and EEPROM (board.cc).
  void reset_phy() REQUIRES(mutex_);
  void write_mdic(uint32_t value) REQUIRES(mutex_);
  void write_eecd(uint32_t value) REQUIRES(mutex_);
  void write_eerd(uint32_t value) REQUIRES(mutex_);
  [[nodiscard]] uint16_t eeprom_word(size_t at) const;

  // Frames (transmit.cc, receive.cc), on the loop.
  struct Ring {
    uint64_t base = 0;
    uint32_t entries = 0;
  };
  [[nodiscard]] Ring ring(uint32_t base_register, uint32_t length_register) const REQUIRES(mutex_);
  void wake();
  void work();
  void transmit();
  enum class Sent : uint8_t { one, nothing, later };
  [[nodiscard]] Sent transmit_one() REQUIRES(mutex_);
  struct Packet;
  [[nodiscard]] bool gather(Packet& packet) REQUIRES(mutex_);
  void take_context(std::span<const std::byte> descriptor) REQUIRES(mutex_);
  [[nodiscard]] bool put_out(Packet& packet) REQUIRES(mutex_);
  void report(const Packet& packet, uint32_t next) REQUIRES(mutex_);
  [[nodiscard]] bool wants_frames() override;
  void take_frame(std::span<const std::byte> frame) override;
  void can_send() override { transmit(); }
  [[nodiscard]] bool accepts(std::span<const std::byte> frame) const REQUIRES(mutex_);
  void store(std::span<const std::byte> frame, std::optional<uint16_t> tag) REQUIRES(mutex_);
  void count(uint32_t packets, uint32_t octets, uint32_t total_packets, uint32_t total_octets, size_t bytes)
      REQUIRES(mutex_);

  class Memory final : public IoHandler {
   public:
    explicit Memory(E1000& owner) : owner_(owner) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    E1000& owner_;
  };
  // An address register and a data register.
  class Ports final : public IoHandler {
   public:
    explicit Ports(E1000& owner) : owner_(owner) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    E1000& owner_;
  };

  NetPort port_;
  net::MacAddress permanent_mac_;
  EventLoop& loop_;
  FramePort frames_;
  Memory memory_{*this};
  Ports ports_{*this};
  std::vector<std::byte> packet_;  // the loop's
  std::vector<std::byte> stored_;  // the loop's
  mutable Mutex mutex_;
  E1000State s_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> tx_packets_{0};
  std::atomic<uint64_t> tx_bytes_{0};
  std::atomic<uint64_t> tx_dropped_{0};
  std::atomic<uint64_t> rx_packets_{0};
  std::atomic<uint64_t> rx_bytes_{0};
  std::atomic<uint64_t> rx_dropped_{0};
};

}  // namespace lodge
