#include "devices/virtio/net/header.h"

#include "devices/net/frame.h"

namespace lodge::net {
namespace {

bool gso_allowed(uint8_t gso_type, uint64_t features) {
  const bool ecn = (gso_type & kGsoEcn) != 0;
  switch (gso_type & ~kGsoEcn) {
    case kGsoTcp4: return (features & kHostTso4) != 0 && (!ecn || (features & kHostEcn) != 0);
    case kGsoTcp6: return (features & kHostTso6) != 0 && (!ecn || (features & kHostEcn) != 0);
    case kGsoUdpL4: return (features & kHostUso) != 0 && !ecn;
    default: return false;
  }
}

}  // namespace

bool check_tx_header(Header& header, uint64_t features, uint64_t frame) {
  if (frame < kMinFrame || frame > kMaxFrame) {
    return false;
  }
  if ((features & kCsum) == 0) {
    header = {};  // without this feature the driver must leave the header zero; what is there means nothing
    return true;
  }
  header.flags &= kNeedsCsum;
  header.buffers = 0;
  if (header.flags == 0) {
    header.csum_start = header.csum_offset = 0;
  } else if (uint64_t{header.csum_start} + header.csum_offset + 2 > frame) {
    return false;
  }
  if (header.gso_type == kGsoNone) {
    header.gso_size = header.header_length = 0;
    return true;
  }
  return gso_allowed(header.gso_type, features) && header.flags != 0 && header.gso_size != 0 &&
         header.header_length <= frame;
}

}  // namespace lodge::net
