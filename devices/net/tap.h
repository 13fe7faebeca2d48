// Tap devices: one descriptor a queue pair, with the vnet header, so that checksums and segmentation are left to the kernel
// or the real NIC. Opened by name (needs CAP_NET_ADMIN or an owned tap) or given by the daemon.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "devices/net/backend.h"

namespace lodge {

struct TapOptions {
  std::string id = "net";  // the NIC's name in errors
  std::string name;        // of the tap; created when it does not exist and `create`
  std::vector<Fd> fds;     // given: already attached to a tap, one a queue pair
  uint16_t queue_pairs = 1;
  bool create = false;
};

[[nodiscard]] Result<NetPort> open_tap(TapOptions options);

}  // namespace lodge
