#include "devices/net/vhost_net.h"

#include <fcntl.h>
#define VIRTIO_RING_NO_LEGACY 1  // its inline functions are not C++
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>

namespace lodge {

Result<std::unique_ptr<VhostNet>> VhostNet::create(Fd vhost, const std::string& id) {
  if (!vhost.valid()) {
    vhost = Fd(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
    if (!vhost.valid()) {
      return fail("NIC '{}': cannot open /dev/vhost-net: {}; load the module vhost_net, or switch vhost off for this NIC",
                  id, std::generic_category().message(errno));
    }
  }
  return std::unique_ptr<VhostNet>(
      new VhostNet(TRY(Vhost::own(std::move(vhost), fmt::format("vhost-net of NIC '{}'", id)))));
}

Result<void> VhostNet::set_up(uint64_t negotiated, const GuestMemory& memory, int tap_fd, uint32_t header_size) {
  const int header_bytes = static_cast<int>(header_size);
  if (::ioctl(tap_fd, TUNSETVNETHDRSZ, &header_bytes) != 0) {
    return vhost_.failed(errno, "set the tap's header size");
  }
  // The tap adds and removes the vnet header itself.
  return vhost_.set_up(negotiated & features() & ~(1ULL << VHOST_NET_F_VIRTIO_NET_HDR), memory);
}

Result<void> VhostNet::start_ring(unsigned ring, const QueueState& state, const GuestMemory& memory, int kick_fd,
                                  int call_fd, int tap_fd) {
  const VhostRing place{state.size, state.next_avail, state.descriptors, state.driver, state.device};
  TRY_VOID(vhost_.set_ring(ring, place, memory, kick_fd, call_fd));
  vhost_vring_file backend{ring, tap_fd};
  if (::ioctl(vhost_.fd(), VHOST_NET_SET_BACKEND, &backend) != 0) {
    return vhost_.failed(errno, "start a ring");
  }
  return {};
}

Result<uint16_t> VhostNet::stop_ring(unsigned ring) {
  vhost_vring_file none{ring, VHOST_FILE_UNBIND};
  if (::ioctl(vhost_.fd(), VHOST_NET_SET_BACKEND, &none) != 0) {
    return vhost_.failed(errno, "stop a ring");
  }
  return vhost_.position(ring);
}

}  // namespace lodge
