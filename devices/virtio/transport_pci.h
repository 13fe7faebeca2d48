// VirtioPci: carries a VirtioDevice over PCI (virtio 1.2 section 4.1), modern and transitional, with MSI-X and INTx.
//
// Registers: any vCPU thread, one mutex per access. Queues: each on its loop. Lifecycle: DRIVER_OK starts the queues by
// posting to their loops; reset and quiesce stop them the same way, and nobody waits: a modern driver sees status 0 once the
// last request has come back. Only a 0.9 driver, which cannot wait, is held in its write of 0 until then.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "devices/pci/companion.h"
#include "devices/pci/function.h"
#include "devices/virtio/transport_state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioPci final : public PciFunction, public VirtioTransport, public Device {
 public:
  struct Options {
    std::string id;
    bool transitional = false;  // also offer the 0.9 registers
    bool legacy_only = false;   // hide the modern ones (for testing old drivers)
    bool packed_ring = false;   // offer VIRTIO_F_RING_PACKED
    bool event_index = true;
    bool indirect = true;
    std::shared_ptr<PciCompanion> companion = {};  // shares the function; not with the 0.9 registers, which have its BAR 0
  };
  // Registers are empty until the function is plugged into a root. Error: the saved state does not fit the device.
  [[nodiscard]] static Result<std::shared_ptr<VirtioPci>> create(const Options& options,
                                                                 std::unique_ptr<VirtioDevice> device, const DeviceEnv& env,
                                                                 const StateReader* saved);
  ~VirtioPci() override;

  // Device, on control.
  [[nodiscard]] std::string_view id() const override { return options_.id; }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;
  [[nodiscard]] std::vector<Counter> counters() const override { return device_->counters(); }

  // VirtioTransport, any thread.
  void notify_config() override;
  void set_needs_reset() override;
  [[nodiscard]] int queue_kick_fd(uint16_t queue) override { return queues_.at(queue).kick.get(); }
  [[nodiscard]] int queue_call_fd(uint16_t queue) override;

  [[nodiscard]] VirtioDevice& device() { return *device_; }

 private:
  enum class Phase : uint8_t { idle, starting, running, stopping, parked };
  enum class Action : uint8_t { none, start, stop };
  struct Queue {
    QueueState registers;  // as the driver set them; the ring's own position once it was stopped
    std::atomic<uint16_t> vector{0xFFFF};
    Fd kick;
    EventLoop* loop = nullptr;
    std::unique_ptr<Virtqueue> ring;  // on the loop, from start to stop
    EventLoop::Watch watch;           // on the loop
    bool live = false;                // counted by stop
  };
  class Window final : public IoHandler {  // a BAR
   public:
    Window(VirtioPci& owner, bool legacy) : owner_(owner), legacy_(legacy) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    VirtioPci& owner_;
    bool legacy_;
  };

  VirtioPci(const Options& options, std::unique_ptr<VirtioDevice> device, const DeviceEnv& env);
  [[nodiscard]] Result<void> set_up(const StateReader* saved);
  [[nodiscard]] Result<void> load(const VirtioTransportState& saved);
  void add_modern_capabilities();
  [[nodiscard]] uint64_t offered(bool legacy) const;

  // Registers (transport_registers.cc, transport_legacy.cc).
  [[nodiscard]] uint64_t modern_read(uint64_t offset, uint8_t size);
  void modern_write(uint64_t offset, uint8_t size, uint64_t value);
  [[nodiscard]] uint64_t common_read(uint64_t offset, uint8_t size) REQUIRES(registers_);
  [[nodiscard]] Action common_write(uint64_t offset, uint8_t size, uint64_t value) REQUIRES(registers_);
  void write_queue_register(uint64_t offset, uint8_t size, uint64_t value) REQUIRES(registers_);
  [[nodiscard]] Action write_status(uint8_t value) REQUIRES(registers_);
  [[nodiscard]] uint64_t legacy_read(uint64_t offset, uint8_t size);
  void legacy_write(uint64_t offset, uint8_t size, uint64_t value);
  [[nodiscard]] Action legacy_register_write(uint64_t offset, uint8_t size, uint64_t value) REQUIRES(registers_);
  void legacy_queue_pfn(uint32_t page) REQUIRES(registers_);
  [[nodiscard]] uint64_t device_config_read(uint64_t offset, uint8_t size);
  void device_config_write(uint64_t offset, uint8_t size, uint64_t value);
  [[nodiscard]] uint8_t take_isr();
  void notify(uint64_t queue);
  [[nodiscard]] Queue* selected() REQUIRES(registers_);
  [[nodiscard]] bool may_configure() const REQUIRES(registers_);

  // Lifecycle (transport_lifecycle.cc).
  void perform(Action action);
  void start_queues();
  void stop_queues();
  void queue_stopped(Queue& queue);
  void all_stopped();
  void interrupt(uint16_t vector, uint8_t isr_bit);
  void clear_registers() REQUIRES(registers_);

  void bar_mapped(uint8_t index, uint64_t base) override;
  void bar_unmapped(uint8_t index, uint64_t base) override;
  bool special_config_read(uint16_t offset, uint8_t size, uint32_t& value) override;
  void special_config_write(uint16_t offset, uint8_t size) override;
  [[nodiscard]] std::vector<Doorbells::Bell> bells(uint8_t bar, uint64_t base) const;

  Options options_;
  std::unique_ptr<VirtioDevice> device_;
  std::vector<Queue> queues_;
  std::vector<EventLoop*> group_loops_;
  Window modern_window_{*this, false};
  Window legacy_window_{*this, true};
  uint8_t access_capability_ = 0;  // the window through configuration space

  mutable Mutex registers_;
  VirtioTransportState state_ GUARDED_BY(registers_);  // without its queues, which are in queues_
  Phase phase_ GUARDED_BY(registers_) = Phase::idle;
  bool reset_wanted_ GUARDED_BY(registers_) = false;
  bool quiesce_wanted_ GUARDED_BY(registers_) = false;
  std::vector<Done> waiting_ GUARDED_BY(registers_);
  uint32_t stopping_ GUARDED_BY(registers_) = 0;
  std::atomic<uint8_t> isr_{0};
  std::mutex idle_mutex_;
  std::condition_variable idle_;
};

}  // namespace lodge
