// VirtioConsole: the virtio console (virtio 1.2 section 5.3): a console, more of them, and named channels, each a port with
// a character backend.
//
// Queues: input and output of port 0, control input and output, then input and output of each further port; all on one loop.
// Made on the control thread; set_window() from the control thread.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/char_backend.h"
#include "devices/virtio/console/port.h"
#include "devices/virtio/console/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioConsole final : public VirtioDevice {
 public:
  static constexpr size_t kMaxPorts = 31;
  enum Event : uint16_t { kDeviceReady, kPortAdd, kPortRemove, kPortReady, kConsolePort, kResize, kPortOpen, kPortName };

  struct Port {
    std::string name;      // of a channel: "org.qemu.guest_agent.0"; may be empty for a console
    bool console = false;  // /dev/hvcN in the guest, else /dev/virtio-ports/NAME
    std::unique_ptr<CharBackend> backend;
  };
  struct Options {
    std::string id;
    std::vector<Port> ports;  // the first is the only one that drivers without multiport see
    uint16_t columns = 0;     // 0: not known
    uint16_t rows = 0;
    // A process of the guest opened or closed a port; on the device's loop; may be empty.
    std::function<void(std::string_view port, bool open)> on_port_change;
  };
  [[nodiscard]] static Result<std::unique_ptr<VirtioConsole>> create(Options options, const StateReader* saved);
  ~VirtioConsole() override;

  [[nodiscard]] uint16_t virtio_id() const override { return 3; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x078000; }
  [[nodiscard]] uint64_t offered_features() const override;
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  void read_config(uint32_t offset, std::span<std::byte> to) override;
  void write_config(uint32_t offset, std::span<const std::byte> from) override;
  void attach(VirtioTransport& transport) override { transport_ = &transport; }
  void activate(const Activation& activation) override { negotiated_.store(activation.features); }
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& queue) override;
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override;
  void save(std::string_view id, StateWriter& out) const override;
  [[nodiscard]] std::vector<Counter> counters() const override;

  // The size of the first console's window changed.
  void set_window(uint16_t columns, uint16_t rows);
  [[nodiscard]] size_t port_count() const { return ports_.size(); }
  [[nodiscard]] CharBackend& backend(size_t port) { return ports_.at(port)->backend(); }

  // For the ports.
  [[nodiscard]] bool multiport() const;
  [[nodiscard]] bool guest_reads(const ConsolePort& port) const {
    return !multiport() || port.console() || port.state().open;
  }
  void send_message(const ConsoleMessageState& message);

 private:
  explicit VirtioConsole(Options options);
  [[nodiscard]] Result<void> load(const StateReader& saved);
  [[nodiscard]] ConsolePort* port_of(uint16_t queue);
  void take_messages();
  void take_message(const ConsoleMessageState& message);
  void flush_messages();

  std::string id_;
  std::function<void(std::string_view, bool)> on_port_change_;
  std::vector<std::unique_ptr<ConsolePort>> ports_;
  std::vector<uint16_t> queue_sizes_;
  VirtioTransport* transport_ = nullptr;
  GuestWarnings warnings_;
  std::atomic<uint64_t> negotiated_{0};
  std::atomic<uint32_t> window_{0};  // columns, rows << 16

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what is posted to the loop looks at it

  // The loop's.
  bool ready_ = false;
  uint32_t running_ = 0;  // queues
  Virtqueue* control_in_ = nullptr;
  Virtqueue* control_out_ = nullptr;
  std::deque<ConsoleMessageState> messages_;
  Mutex mutex_;
  EventLoop* loop_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace lodge
