#include "libvirt-driver/access/peer.h"

#include <fmt/core.h>

namespace lodge::access {

std::string peer_text(const Peer& peer) {
  if (peer.transport == TransportKind::unix_socket) {
    return fmt::format("process {} of user {}", peer.pid, peer.uid);
  }
  return peer.certificate_dn.empty() ? peer.address : fmt::format("{} ({})", peer.address, peer.certificate_dn);
}

}  // namespace lodge::access
