#include "devices/core/vhost.h"

#define VIRTIO_RING_NO_LEGACY 1  // its inline functions are not C++
#include <linux/vhost.h>
#include <sys/ioctl.h>

#include <cstring>
#include <vector>

namespace lodge {

Result<VhostRingAddresses> host_addresses(const VhostRing& place, const GuestMemory& memory) {
  const auto host = [&](uint64_t at, uint64_t size) {
    return reinterpret_cast<uint64_t>(memory.iovec_for(Gpa{at}, size).iov_base);  // SAFETY: an address for who serves it
  };
  const VhostRingAddresses found{.descriptors = host(place.descriptors, 16ULL * place.size),
                                 .driver = host(place.driver, 6 + 2ULL * place.size),
                                 .device = host(place.device, 6 + 8ULL * place.size)};
  if (found.descriptors == 0 || found.driver == 0 || found.device == 0) {
    return fail("it is not in guest RAM");
  }
  return found;
}

std::unexpected<Error> Vhost::failed(int code, std::string_view step) const {
  return fail_errno(code, "{}: {}", what_, step);
}

Result<Vhost> Vhost::own(Fd fd, std::string what) {
  Vhost self(std::move(fd), std::move(what));
  if (::ioctl(self.fd(), VHOST_SET_OWNER) != 0) {
    return self.failed(errno, "become the owner");
  }
  if (::ioctl(self.fd(), VHOST_GET_FEATURES, &self.features_) != 0) {
    return self.failed(errno, "read the features");
  }
  return self;
}

Result<void> Vhost::set_up(uint64_t features, const GuestMemory& memory) const {
  if (::ioctl(fd(), VHOST_SET_FEATURES, &features) != 0) {
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
  if (::ioctl(fd(), VHOST_SET_MEM_TABLE, storage.data()) != 0) {
    return failed(errno, "hand over the guest's memory map");
  }
  return {};
}

Result<void> Vhost::set_ring(unsigned ring, const VhostRing& place, const GuestMemory& memory, int kick_fd,
                             int call_fd) const {
  const VhostRingAddresses found = TRY_CONTEXT(host_addresses(place, memory), fmt::format("{}: ring {}", what_, ring));
  vhost_vring_state number{ring, place.size};
  vhost_vring_state base{ring, place.next};
  vhost_vring_addr address{};
  address.index = ring;
  address.desc_user_addr = found.descriptors;
  address.avail_user_addr = found.driver;
  address.used_user_addr = found.device;
  vhost_vring_file kick{ring, kick_fd};
  vhost_vring_file call{ring, call_fd};
  if (::ioctl(fd(), VHOST_SET_VRING_NUM, &number) != 0 || ::ioctl(fd(), VHOST_SET_VRING_BASE, &base) != 0 ||
      ::ioctl(fd(), VHOST_SET_VRING_ADDR, &address) != 0 || ::ioctl(fd(), VHOST_SET_VRING_KICK, &kick) != 0 ||
      ::ioctl(fd(), VHOST_SET_VRING_CALL, &call) != 0) {
    return failed(errno, "set up a ring");
  }
  return {};
}

Result<uint16_t> Vhost::position(unsigned ring) const {
  vhost_vring_state base{ring, 0};
  if (::ioctl(fd(), VHOST_GET_VRING_BASE, &base) != 0) {
    return failed(errno, "read where a ring stopped");
  }
  return static_cast<uint16_t>(base.num);
}

}  // namespace lodge
