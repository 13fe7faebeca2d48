// VhostNet: the kernel serves one queue pair of a NIC, between a tap and the guest's split rings. Made on the control
// thread; start and stop of a ring on that queue's loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "devices/core/vhost.h"
#include "devices/virtio/queue_state.h"

namespace lodge {

class VhostNet {
 public:
  // `vhost`: an open /dev/vhost-net, or empty to open it. Errors name the NIC and what to do.
  [[nodiscard]] static Result<std::unique_ptr<VhostNet>> create(Fd vhost, const std::string& id);

  // Feature bits (device and transport) that the kernel can serve.
  [[nodiscard]] uint64_t features() const { return vhost_.features(); }

  // Before the first ring starts: negotiated features, where guest RAM is, and the size of the frames' header (10 or 12).
  [[nodiscard]] Result<void> set_up(uint64_t negotiated, const GuestMemory& memory, int tap_fd, uint32_t header_size);
  // Ring 0 receives, ring 1 transmits.
  [[nodiscard]] Result<void> start_ring(unsigned ring, const QueueState& state, const GuestMemory& memory, int kick_fd,
                                        int call_fd, int tap_fd);
  // Stops it and waits for what is in flight; returns the next available index. Idempotent.
  [[nodiscard]] Result<uint16_t> stop_ring(unsigned ring);

 private:
  explicit VhostNet(Vhost vhost) : vhost_(std::move(vhost)) {}
  Vhost vhost_;
};

}  // namespace lodge
