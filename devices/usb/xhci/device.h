// Xhci: an xHCI 1.0 controller with ports for USB 2.0 and as many for USB 3.0, and one interrupter.
//
// Registers on vCPU threads, one mutex. What they ask for is done on one I/O loop, to which a vCPU only posts: commands,
// transfers, resets of ports. The mutex is held for one step: a command, a piece of one transfer. Devices are called with
// it held; they never wait. quiesce, resume, reset, save from control.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/pci/function.h"
#include "devices/usb/controller.h"
#include "devices/usb/device.h"
#include "devices/usb/xhci/ring.h"
#include "devices/usb/xhci/state.h"

namespace lodge {

class Xhci final : public Device, public PciFunction, public UsbController {
 public:
  static constexpr size_t kMaxPorts = 15;  // of each kind
  struct Options {
    std::string id = "usb0";
    uint32_t ports = 4;  // of each kind
    std::vector<UsbPlug> devices;
  };
  // Errors: there is no such port, or it is taken; the state is damaged.
  [[nodiscard]] static Result<std::shared_ptr<Xhci>> create(Options options, const DeviceEnv& env, const StateReader* saved);
  ~Xhci() override { unplug_devices(); }

  [[nodiscard]] std::string_view id() const override { return name(); }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;
  [[nodiscard]] std::vector<Counter> counters() const override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;

 private:
  using Trb = xhci::Trb;
  using Code = xhci::Code;
  using Slot = XhciSlotState;
  using Endpoint = XhciEndpointState;

  // A port of a controller, in the two registers that it has.
  class Port final : public UsbPort {
   public:
    Port(Xhci& owner, size_t index) : owner_(owner), index_(index) {}
    void wake() override;
    [[nodiscard]] EventLoop& loop() override { return owner_.loop_; }

   private:
    Xhci& owner_;
    size_t index_;
  };
  class Memory final : public IoHandler {
   public:
    explicit Memory(Xhci& owner) : owner_(owner) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    Xhci& owner_;
  };

  Xhci(Options options, const DeviceEnv& env);
  [[nodiscard]] Result<void> load(const StateReader& saved);
  [[nodiscard]] Result<void> check(const XhciState& state) const;
  [[nodiscard]] bool running() const REQUIRES(mutex_) { return (s_.status & xhci::kStsHalted) == 0; }
  void wake();
  void work();
  // Does one thing. False: there is nothing to do.
  [[nodiscard]] bool step() REQUIRES(mutex_);
  void reset_controller() REQUIRES(mutex_);
  // Guest memory that must be there is not (4.10.2.6).
  void fail_system(std::string_view what) REQUIRES(mutex_);

  // registers.cc
  [[nodiscard]] uint32_t read_register(uint32_t offset);
  void write_register(uint32_t offset, uint32_t value);
  [[nodiscard]] uint32_t read_capability(uint32_t offset) const;
  [[nodiscard]] uint32_t read_operational(uint32_t offset) const REQUIRES(mutex_);
  [[nodiscard]] uint32_t read_runtime(uint32_t offset) const REQUIRES(mutex_);
  void write_operational(uint32_t offset, uint32_t value) REQUIRES(mutex_);
  void write_runtime(uint32_t offset, uint32_t value) REQUIRES(mutex_);
  void write_command(uint32_t value) REQUIRES(mutex_);
  void write_command_ring(uint32_t value) REQUIRES(mutex_);
  void ring_doorbell(uint32_t slot, uint32_t value) REQUIRES(mutex_);

  // ports.cc
  [[nodiscard]] Result<UsbPort*> side_of(const UsbPlug& plug) override { return port_sides_[register_of(plug)].get(); }
  [[nodiscard]] uint32_t port_count() const override { return static_cast<uint32_t>(ports_); }
  void connect(const UsbPlug& plug) override;
  void disconnect(const UsbPlug& plug) override;
  // The index of the register that a device of its speed shows itself in.
  [[nodiscard]] size_t register_of(const UsbPlug& plug) const {
    return plug.port - size_t{1} + (plug.device->speed() == UsbSpeed::super ? ports_ : 0);
  }
  [[nodiscard]] UsbDevice* device_at(size_t port) const { return port < devices_.size() ? devices_[port] : nullptr; }
  [[nodiscard]] bool is_usb3(size_t port) const { return port >= ports_; }
  [[nodiscard]] uint32_t read_port(size_t port) const REQUIRES(mutex_);
  void write_port(size_t port, uint32_t value) REQUIRES(mutex_);
  void write_link(size_t port, uint32_t link) REQUIRES(mutex_);
  void connect_port(size_t port) REQUIRES(mutex_);
  void disconnect_port(size_t port) REQUIRES(mutex_);
  void finish_port_reset(size_t port) REQUIRES(mutex_);
  void change_port(size_t port, uint32_t change) REQUIRES(mutex_);
  void take_wakes() REQUIRES(mutex_);

  // events.cc
  void post_event(const Trb& event) REQUIRES(mutex_);
  // Puts what waits into the event ring, as far as there is room.
  void flush_events() REQUIRES(mutex_);
  [[nodiscard]] bool find_segment() REQUIRES(mutex_);
  void command_event(uint64_t command, Code code, uint8_t slot) REQUIRES(mutex_);
  void transfer_event(const Slot& slot, const Endpoint& endpoint, const Trb& block, uint64_t pointer, Code code,
                      uint32_t length) REQUIRES(mutex_);
  void raise_interrupt() REQUIRES(mutex_);
  void update_interrupt() REQUIRES(mutex_);

  // commands.cc
  void step_command() REQUIRES(mutex_);
  [[nodiscard]] Code execute(const Trb& command, uint8_t& slot) REQUIRES(mutex_);
  [[nodiscard]] Code enable_slot(uint8_t& slot) REQUIRES(mutex_);
  [[nodiscard]] Code disable_slot(Slot& slot) REQUIRES(mutex_);
  [[nodiscard]] Code address_device(Slot& slot, const Trb& command) REQUIRES(mutex_);
  [[nodiscard]] Code configure_endpoint(Slot& slot, const Trb& command) REQUIRES(mutex_);
  [[nodiscard]] Code evaluate_context(Slot& slot, const Trb& command) REQUIRES(mutex_);
  [[nodiscard]] Code reset_endpoint(Slot& slot, const Trb& command) REQUIRES(mutex_);
  [[nodiscard]] Code stop_endpoint(Slot& slot, const Trb& command) REQUIRES(mutex_);
  [[nodiscard]] Code set_dequeue(Slot& slot, const Trb& command) REQUIRES(mutex_);
  [[nodiscard]] Code reset_device(Slot& slot) REQUIRES(mutex_);

  // contexts.cc
  [[nodiscard]] Slot* find_slot(uint32_t id) REQUIRES(mutex_);
  // Null: there is none, or the slot's has gone, whatever is at the port now.
  [[nodiscard]] UsbDevice* device_of(const Slot& slot) const {
    return slot.port != 0 && !slot.detached ? device_at(slot.port - 1U) : nullptr;
  }
  [[nodiscard]] static Endpoint* find_endpoint(Slot& slot, uint32_t id);
  void show_slot(const Slot& slot) REQUIRES(mutex_);
  void show_endpoint(const Slot& slot, const Endpoint& endpoint) REQUIRES(mutex_);
  void drop_endpoint(Slot& slot, uint8_t id) REQUIRES(mutex_);
  [[nodiscard]] std::optional<Endpoint> read_endpoint(uint64_t context, uint8_t id) const;
  [[nodiscard]] std::optional<uint32_t> read_context_word(uint64_t context, uint64_t word) const;

  // transfers.cc
  struct Part {
    XhciRingState place;  // of the block
    Trb trb;
    uint32_t from = 0;   // the first byte of the block's buffer that moves now
    uint32_t bytes = 0;  // that move
    bool whole = false;  // and then none of the block are left
    [[nodiscard]] uint32_t length() const { return trb.status & 0x1FFFF; }
  };
  enum class Gathered : uint8_t { some, nothing, bad };
  void step_endpoint(Slot& slot, Endpoint& endpoint) REQUIRES(mutex_);
  void step_pieces(Slot& slot, Endpoint& endpoint, UsbDevice* device) REQUIRES(mutex_);
  [[nodiscard]] Gathered gather(const Endpoint& endpoint) REQUIRES(mutex_);
  [[nodiscard]] bool trim(const Endpoint& endpoint) REQUIRES(mutex_);
  void pass(Slot& slot, Endpoint& endpoint, size_t bytes, bool ended) REQUIRES(mutex_);
  void pass_block(Slot& slot, Endpoint& endpoint, const Part& part) REQUIRES(mutex_);
  void end_short(Slot& slot, Endpoint& endpoint, const Part& part) REQUIRES(mutex_);
  void skip(Slot& slot, Endpoint& endpoint) REQUIRES(mutex_);
  [[nodiscard]] bool copy_out(const Part& part, std::span<std::byte> data) const;
  [[nodiscard]] bool copy_parts_out(size_t bytes) REQUIRES(mutex_);
  [[nodiscard]] bool copy_parts_in(size_t bytes) REQUIRES(mutex_);
  void halt(Slot& slot, Endpoint& endpoint, const Part* at, Code code) REQUIRES(mutex_);
  [[nodiscard]] bool spend(const Slot& slot, Endpoint& endpoint) REQUIRES(mutex_);

  // control.cc
  void step_control(Slot& slot, Endpoint& endpoint, UsbDevice* device) REQUIRES(mutex_);
  [[nodiscard]] Gathered gather_control(const Endpoint& endpoint) REQUIRES(mutex_);
  void finish_control(Slot& slot, Endpoint& endpoint, size_t bytes) REQUIRES(mutex_);

  size_t ports_;  // of each kind
  EventLoop& loop_;
  Memory memory_{*this};
  std::vector<std::unique_ptr<Port>> port_sides_;
  std::vector<UsbDevice*> devices_;  // by port register; they come and go with the mutex held
  std::vector<std::byte> data_;      // of the step under way; guarded as the next
  std::vector<Part> parts_;
  mutable Mutex mutex_;
  XhciState s_ GUARDED_BY(mutex_);
  bool machine_runs_ GUARDED_BY(mutex_) = false;
  size_t next_slot_ GUARDED_BY(mutex_) = 0;  // whose turn it is
  std::array<std::array<uint32_t, xhci::kContexts>, xhci::kSlots + 1> budget_ GUARDED_BY(mutex_){};
  std::array<uint32_t, xhci::kSlots + 1> waiting_ GUARDED_BY(mutex_){};  // endpoints that were answered with `nak`
  std::atomic<bool> posted_{false};
  std::atomic<uint32_t> woken_{0};  // ports whose devices woke them
  std::atomic<uint64_t> commands_{0};
  std::atomic<uint64_t> transfers_{0};
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace lodge
