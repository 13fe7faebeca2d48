// VirtioFs: a folder of the host in the guest (virtio 1.2 section 5.11). A process beside us, virtiofsd, serves all queues
// through vhost-user: the high-priority queue 0 and the request queues from 1 on. Here is only the configuration space and
// what starts and stops the rings.
//
// A back-end that goes away or breaks the protocol is given up: the device needs a reset, the guest goes on, and nobody
// serves the device any more. Its saved state says only that there is one: who saves a guest refuses before (vmm/machine).
//
// Queues' calls on one loop; configuration from any vCPU thread.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "devices/core/vhost_user.h"
#include "devices/virtio/fs/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioFs final : public VirtioDevice {
 public:
  static constexpr size_t kTagSize = 36;  // bytes, without an end mark when it is full
  static constexpr uint16_t kMaxRequestQueues = 64;

  struct Options {
    std::string id;
    std::string tag;                                            // 1 to kTagSize bytes, by which the guest mounts it
    uint16_t queues = 1;                                        // for requests, 1 to kMaxRequestQueues
    uint16_t queue_size = 128;                                  // at most; a power of two
    std::unique_ptr<VhostUser> backend;                         // none: nobody serves it (tests)
    std::chrono::milliseconds patience = VhostUser::kPatience;  // until a ring has stopped
  };
  [[nodiscard]] static Result<std::unique_ptr<VirtioFs>> create(Options options, const StateReader* saved);

  [[nodiscard]] uint16_t virtio_id() const override { return 26; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x018000; }
  [[nodiscard]] uint64_t offered_features() const override { return 0; }
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override { return sizes_; }
  [[nodiscard]] bool in_kernel(uint16_t /*queue*/) const override { return true; }
  void read_config(uint32_t offset, std::span<std::byte> to) override;
  void attach(VirtioTransport& transport) override { transport_ = &transport; }
  void activate(const Activation& activation) override { features_ = activation.features; }
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& /*queue*/) override {}
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override {}
  void save(std::string_view id, StateWriter& out) const override { out.put(id, VirtioFsState{options_.tag}); }

 private:
  struct Stop {
    Virtqueue* queue;
    Done done;
  };
  explicit VirtioFs(Options options);
  [[nodiscard]] Result<void> start_ring(Virtqueue& queue);
  void readable();
  void wait_for_stop(EventLoop& loop);
  void lose(const Error& error);

  Options options_;
  std::vector<uint16_t> sizes_;
  VirtioTransport* transport_ = nullptr;
  std::atomic<uint64_t> features_{0};
  // On the loop:
  bool lost_ = false;
  std::vector<bool> runs_;  // rings that the back-end has
  std::deque<Stop> stops_;  // asked for, the oldest first
  EventLoop::Watch watch_;  // of the connection, while rings run
  EventLoop::Timer timer_;  // of the oldest stop
};

}  // namespace lodge
