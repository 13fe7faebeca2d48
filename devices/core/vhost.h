// Vhost: a device whose split rings the kernel serves (<linux/vhost.h>): ownership, features, memory, rings. What is
// particular to a kind of device is with it (devices/net/vhost_net, devices/virtio/vsock). Made on control; rings on their
// loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/memory/guest_memory.h"
#include "base/result.h"

namespace lodge {

// Where a ring is in guest memory, and the available index to go on at.
struct VhostRing {
  uint16_t size = 0;
  uint16_t next = 0;
  uint64_t descriptors = 0;
  uint64_t driver = 0;
  uint64_t device = 0;
};

// Where its three parts are in this process, which is how vhost and vhost-user name places of guest RAM.
struct VhostRingAddresses {
  uint64_t descriptors = 0;
  uint64_t driver = 0;
  uint64_t device = 0;
};
// Error: a part is not in guest RAM.
[[nodiscard]] Result<VhostRingAddresses> host_addresses(const VhostRing& place, const GuestMemory& memory);

class Vhost {
 public:
  // Becomes the descriptor's owner. `what` begins errors: "vhost-net of NIC 'net0'".
  [[nodiscard]] static Result<Vhost> own(Fd fd, std::string what);

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Feature bits that the kernel can serve.
  [[nodiscard]] uint64_t features() const { return features_; }
  // Before the first ring starts: what was negotiated, and where guest RAM is.
  [[nodiscard]] Result<void> set_up(uint64_t features, const GuestMemory& memory) const;
  // A ring's place and event descriptors; what makes it run is the kind's.
  [[nodiscard]] Result<void> set_ring(unsigned ring, const VhostRing& place, const GuestMemory& memory, int kick_fd,
                                      int call_fd) const;
  // The next available index of a ring that does not run any more.
  [[nodiscard]] Result<uint16_t> position(unsigned ring) const;
  [[nodiscard]] std::unexpected<Error> failed(int code, std::string_view step) const;

 private:
  Vhost(Fd fd, std::string what) : fd_(std::move(fd)), what_(std::move(what)) {}
  Fd fd_;
  std::string what_;
  uint64_t features_ = 0;
};

}  // namespace lodge
