#include "libvirt-driver/domains/vsock.h"

#include <fcntl.h>
#define VIRTIO_RING_NO_LEGACY 1  // its inline functions are not C++
#include <libvirt/virterror.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>

#include "libvirt-driver/domains/process.h"

namespace lodge {
namespace {

constexpr uint32_t kFirstCid = 3;
constexpr uint32_t kMostTries = 65536;  // guests of one host

// 0, or the kernel's error.
int take_cid(const Fd& vhost, uint32_t cid) {
  const uint64_t wanted = cid;
  return ::ioctl(vhost.get(), VHOST_VSOCK_SET_GUEST_CID, &wanted) == 0 ? 0 : errno;
}

}  // namespace

Answer<Fd> open_vsock(DomainVsock& vsock) {
  auto opened = open_file("/dev/vhost-vsock", O_RDWR);
  if (!opened) {
    return call_error(VIR_ERR_OPERATION_FAILED, "vsock: {}; load the module vhost_vsock", opened.error().message);
  }
  Fd vhost = std::move(*opened);
  if (vsock.auto_cid != YesNo::yes && vsock.cid) {
    const int error = take_cid(vhost, *vsock.cid);
    if (error == EADDRINUSE) {
      return call_error(VIR_ERR_OPERATION_FAILED,
                        "vsock: CID {} belongs to another guest of this host; use another address, or <cid auto='yes'/>",
                        *vsock.cid);
    }
    if (error != 0) {
      return call_error(VIR_ERR_OPERATION_FAILED, "vsock: the kernel refuses CID {}: {}", *vsock.cid,
                        std::generic_category().message(error));
    }
    return vhost;
  }
  for (uint32_t cid = kFirstCid; cid < kFirstCid + kMostTries; ++cid) {
    const int error = take_cid(vhost, cid);
    if (error == 0) {
      vsock.cid = cid;
      return vhost;
    }
    if (error != EADDRINUSE) {
      return call_error(VIR_ERR_OPERATION_FAILED, "vsock: the kernel refuses CID {}: {}", cid,
                        std::generic_category().message(error));
    }
  }
  return call_error(VIR_ERR_OPERATION_FAILED, "vsock: the CIDs {} to {} are all taken by guests of this host", kFirstCid,
                    kFirstCid + kMostTries - 1);
}

}  // namespace lodge
