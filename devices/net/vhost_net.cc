#include "devices/net/vhost_net.h"

#include <fcntl.h>
#define VIRTIO_RING_NO_LEGACY 1  // its inline functions are not C++
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>

#include <cstring>
#include <vector>

namespace lodge {

std::unexpected<Error> VhostNet::failed(int code, std::string_view step) const {
  return fail_errno(code, "vhost-net of NIC '{}': {}", id_, step);
}

Result<std::unique_ptr<VhostNet>> VhostNet::create(Fd vhost, const std::string& id) {
  if (!vhost.valid()) {
    vhost = Fd(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
    if (!vhost.valid()) {
      return fail("NIC '{}': cannot open /dev/vhost-net: {}; load the module vhost_net, or switch vhost off for this NIC",
                  id, std::generic_category().message(errno));
    }
  }
  std::unique_ptr<VhostNet> self(new VhostNet(std::move(vhost), id));
  if (::ioctl(self->fd_.get(), VHOST_SET_OWNER) != 0) {
    return self->failed(errno, "become the owner");
  }
  if (::ioctl(self->fd_.get(), VHOST_GET_FEATURES, &self->features_) != 0) {
    return self->failed(errno, "read the features");
  }
  return self;
}

Result<void> VhostNet::set_up(uint64_t negotiated, const GuestMemory& memory, int tap_fd, uint32_t header_size) {
  const int header_bytes = static_cast<int>(header_size);
  if (::ioctl(tap_fd, TUNSETVNETHDRSZ, &header_bytes) != 0) {
    return failed(errno, "set the tap's header size");
  }
  // The tap adds and removes the vnet header itself.
  const uint64_t features = negotiated & features_ & ~(1ULL << VHOST_NET_F_VIRTIO_NET_HDR);
  if (::ioctl(fd_.get(), VHOST_SET_FEATURES, &features) != 0) {
    return failed(errno, "set the features");
  }
  const auto regions = memory.regions();
  std::vector<std::byte> storage(sizeof(vhost_memory) + regions.size() * sizeof(vhost_memory_region));
  vhost_memory header{};
  header.nregions = static_cast<uint32_t>(regions.size());
  std::memcpy(storage.data(), &header, sizeof header);
  for (size_t i = 0; i < regions.size(); ++i) {
    vhost_memory_region entry{};
    entry.guest_phys_addr = regions[i].base.value;
    entry.memory_size = regions[i].size;
    entry.userspace_addr = reinterpret_cast<uint64_t>(regions[i].host);  // SAFETY: an address for the kernel
    std::memcpy(storage.data() + sizeof header + i * sizeof entry, &entry, sizeof entry);
  }
  if (::ioctl(fd_.get(), VHOST_SET_MEM_TABLE, storage.data()) != 0) {
    return failed(errno, "hand over the guest's memory map");
  }
  return {};
}

Result<void> VhostNet::start_ring(unsigned ring, const QueueState& state, const GuestMemory& memory, int kick_fd,
                                  int call_fd, int tap_fd) {
  const auto host = [&](uint64_t at, uint64_t size) {
    return reinterpret_cast<uint64_t>(memory.iovec_for(Gpa{at}, size).iov_base);  // SAFETY: an address for the kernel
  };
  vhost_vring_state number{ring, state.size};
  vhost_vring_state base{ring, state.next_avail};
  vhost_vring_addr address{};
  address.index = ring;
  address.desc_user_addr = host(state.descriptors, 16ULL * state.size);
  address.avail_user_addr = host(state.driver, 6 + 2ULL * state.size);
  address.used_user_addr = host(state.device, 6 + 8ULL * state.size);
  if (address.desc_user_addr == 0 || address.avail_user_addr == 0 || address.used_user_addr == 0) {
    return fail("vhost-net of NIC '{}': ring {} is not in guest RAM", id_, ring);
  }
  if (::ioctl(fd_.get(), VHOST_SET_VRING_NUM, &number) != 0 || ::ioctl(fd_.get(), VHOST_SET_VRING_BASE, &base) != 0 ||
      ::ioctl(fd_.get(), VHOST_SET_VRING_ADDR, &address) != 0) {
    return failed(errno, "set up a ring");
  }
  vhost_vring_file kick{ring, kick_fd};
  vhost_vring_file call{ring, call_fd};
  vhost_vring_file backend{ring, tap_fd};
  if (::ioctl(fd_.get(), VHOST_SET_VRING_KICK, &kick) != 0 || ::ioctl(fd_.get(), VHOST_SET_VRING_CALL, &call) != 0 ||
      ::ioctl(fd_.get(), VHOST_NET_SET_BACKEND, &backend) != 0) {
    return failed(errno, "start a ring");
  }
  return {};
}

Result<uint16_t> VhostNet::stop_ring(unsigned ring) {
  vhost_vring_file none{ring, VHOST_FILE_UNBIND};
  if (::ioctl(fd_.get(), VHOST_NET_SET_BACKEND, &none) != 0) {
    return failed(errno, "stop a ring");
  }
  vhost_vring_state base{ring, 0};
  if (::ioctl(fd_.get(), VHOST_GET_VRING_BASE, &base) != 0) {
    return failed(errno, "read where a ring stopped");
  }
  return static_cast<uint16_t>(base.num);
}

}  // namespace lodge
