// The kernel's side of a domain's sockets between guest and host. Any thread.
#pragma once

#include "base/fd.h"
#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_devices.h"

namespace lodge {

// /dev/vhost-vsock with the guest's address taken, by that descriptor alone, as long as it is open. With auto='yes' the
// address is the first that is free. Errors: OPERATION_FAILED when another guest has the address, or the module is missing.
[[nodiscard]] Answer<Fd> open_vsock(DomainVsock& vsock);

}  // namespace lodge
