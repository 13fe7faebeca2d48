// VirtioVsock: sockets between guest and host (virtio 1.2 section 5.10). The kernel's vhost-vsock serves the receive and the
// transmit ring; the event ring is ours: a guest that goes on from a saved state is told that its connections are gone.
//
// The rings' work on one loop; configuration from any vCPU thread.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "base/log.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/vsock/server.h"
#include "devices/virtio/vsock/state.h"

namespace lodge {

class VirtioVsock final : public VirtioDevice {
 public:
  static constexpr uint16_t kReceive = 0;
  static constexpr uint16_t kTransmit = 1;
  static constexpr uint16_t kEvents = 2;
  static constexpr uint32_t kTransportReset = 0;  // an event

  struct Options {
    std::string id;
    uint64_t cid = 0;
    std::unique_ptr<VsockServer> vhost;  // none: nobody is at the other end (tests)
  };
  // After a saved state the guest is told of the reset of its connections.
  [[nodiscard]] static Result<std::unique_ptr<VirtioVsock>> create(Options options, const StateReader* saved);

  [[nodiscard]] uint16_t virtio_id() const override { return 19; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x028000; }
  [[nodiscard]] uint64_t offered_features() const override;
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  [[nodiscard]] bool in_kernel(uint16_t queue) const override { return options_.vhost != nullptr && queue != kEvents; }
  void read_config(uint32_t offset, std::span<std::byte> to) override;
  void attach(VirtioTransport& transport) override { transport_ = &transport; }
  void activate(const Activation& activation) override;
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& queue) override;
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override;
  void save(std::string_view id, StateWriter& out) const override { out.put(id, VsockState{options_.cid}); }

 private:
  static constexpr std::array<uint16_t, 3> kQueueSizes{128, 128, 16};
  explicit VirtioVsock(Options options) : options_(std::move(options)) {}
  [[nodiscard]] Result<void> start_ring(Virtqueue& queue);
  [[nodiscard]] Result<void> stop_ring(Virtqueue& queue);

  Options options_;
  VirtioTransport* transport_ = nullptr;
  std::array<bool, 2> set_{};  // rings whose place the kernel has; on the loop, as the next
  bool running_ = false;
  GuestWarnings warnings_;
  std::atomic<bool> restored_{false};  // the guest is to be told
};

}  // namespace lodge
