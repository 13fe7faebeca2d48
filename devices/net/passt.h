// User-mode networking through passt: a child process that translates the guest's frames to the host's own sockets; no
// privileges needed. Frames travel over a stream socket, each after its length (4 bytes, big endian).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "devices/net/backend.h"

namespace lodge {

struct PasstOptions {
  std::string id = "net";              // the NIC's name in errors
  Fd fd;                               // given: a connected stream socket that speaks the framing; nothing is started
  std::string program = "passt";       // looked up in PATH
  std::vector<std::string> arguments;  // more options for it: "-t", "2222:22"
};

// The child ends with the backend, and with the process in any case.
[[nodiscard]] Result<NetPort> open_passt(PasstOptions options);

}  // namespace lodge
