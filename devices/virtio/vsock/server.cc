#include "devices/virtio/vsock/server.h"

#include <fcntl.h>
#define VIRTIO_RING_NO_LEGACY 1  // its inline functions are not C++
#include <linux/vhost.h>
#include <sys/ioctl.h>

#include <fmt/core.h>

namespace lodge {

Result<std::unique_ptr<VsockServer>> VhostVsock::create(Fd vhost, uint64_t cid) {
  if (!vhost.valid()) {
    vhost = Fd(::open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC));
    if (!vhost.valid()) {
      return fail_errno(errno, "vsock: cannot open /dev/vhost-vsock; load the module vhost_vsock");
    }
  }
  std::unique_ptr<VhostVsock> self(new VhostVsock(TRY(Vhost::own(std::move(vhost), "vhost-vsock"))));
  if (::ioctl(self->vhost_.fd(), VHOST_VSOCK_SET_GUEST_CID, &cid) != 0) {
    const int error = errno;
    if (error == EADDRINUSE) {
      return fail("vsock: CID {} belongs to another guest of this host; use another one", cid);
    }
    return self->vhost_.failed(error, fmt::format("set the guest's CID to {}", cid));
  }
  return self;
}

Result<void> VhostVsock::set_up(uint64_t features, const GuestMemory& memory) { return vhost_.set_up(features, memory); }

// What the guest announced before is looked at, too: a kick that came in between is not lost.
Result<void> VhostVsock::set_ring(unsigned ring, const VhostRing& place, const GuestMemory& memory, int kick_fd,
                                  int call_fd) {
  return vhost_.set_ring(ring, place, memory, kick_fd, call_fd);
}

Result<void> VhostVsock::run(bool on) {
  const int running = on ? 1 : 0;
  if (::ioctl(vhost_.fd(), VHOST_VSOCK_SET_RUNNING, &running) != 0) {
    return vhost_.failed(errno, on ? "start the rings" : "stop the rings");
  }
  return {};
}

}  // namespace lodge
