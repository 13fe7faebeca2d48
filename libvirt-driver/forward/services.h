// The host's own libvirt daemons: where each of the families is served, and getting there. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "libvirt-driver/core/call_error.h"

namespace lodge::forward {

// Where the daemons' sockets are, and whose they are.
struct HostServices {
  std::string folder = "/run/libvirt";
  bool session = false;  // of one user
};

// A connected socket that does not block, and what is at its other end.
struct ServiceSocket {
  Fd fd;
  std::string path;
  std::string daemon;  // "virtnetworkd"
};

// "network:///system"
[[nodiscard]] std::string service_uri(const HostServices& services, std::string_view family);

// Connects to the family's own daemon where there is one, else to libvirtd; at once or not at all. For a read-only client
// the read-only socket; where that is not there the other one, so the connection must be opened as a read-only one too.
// Error: NO_SUPPORT, which clients take as "there is no such service here"; names the sockets and what to start.
[[nodiscard]] Answer<ServiceSocket> connect_service(const HostServices& services, std::string_view family, bool read_only);

}  // namespace lodge::forward
