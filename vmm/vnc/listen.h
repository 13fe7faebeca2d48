// Listening sockets for VNC clients.
#pragma once

#include <string>
#include <vector>

#include "vmm/control/unix_listener.h"

namespace lodge::vnc {

struct Listening {
  std::vector<Fd> sockets;
  UnixListener path;  // removed at the end, if there is one
};
// "127.0.0.1:5900", "[::1]:5900", "localhost:5900" (all of its addresses) or "unix:PATH".
[[nodiscard]] Result<Listening> listen_at(const std::string& where);

// An inherited descriptor: a listening stream socket, made non-blocking. Error: it is none; `option` says who named it.
[[nodiscard]] Result<Fd> inherited_listener(int fd, std::string_view option);

}  // namespace lodge::vnc
