// The header in front of a frame that the guest sends, checked before the kernel sees it.
#pragma once

#include <cstdint>

#include "devices/virtio/net/constants.h"

namespace lodge::net {

// Makes `header` what the kernel may be given for a frame of `frame` bytes under the negotiated features: unknown flags and
// unnegotiated offloads are removed where harmless. False: the frame must be dropped.
[[nodiscard]] bool check_tx_header(Header& header, uint64_t features, uint64_t frame);

}  // namespace lodge::net
