// Peer: who is at the other end of a connection, as far as the connection itself tells. A value.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace lodge::access {

enum class TransportKind : uint8_t { unix_socket, tcp, tls };

struct Peer {
  TransportKind transport = TransportKind::unix_socket;
  pid_t pid = -1;  // unix sockets
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  std::string address;         // "127.0.0.1:50122", or "" on a unix socket
  std::string local_address;   // our end of it
  std::string certificate_dn;  // TLS
  int strength = 0;            // of TLS's cipher, bits
};

// For logs: "process 71 of user 1000", "127.0.0.1:50122 (CN=admin,O=Example)".
[[nodiscard]] std::string peer_text(const Peer& peer);

}  // namespace lodge::access
