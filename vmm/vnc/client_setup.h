// What a client process is given, and the function that it is.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "vmm/vnc/picture.h"

namespace lodge::vnc {

// Who may come in.
struct Access {
  enum class Kind : uint8_t { open, password, nobody };
  Kind kind = Kind::open;
  std::string password;
  int64_t expires = 0;  // seconds since the epoch; 0: never
};

struct ClientSetup {
  Fd socket;  // of the client
  Fd link;    // to the server's process (link.h)
  const SharedPicture* picture = nullptr;
  std::string guest;
  uint64_t number = 0;  // of the client, for logs
  Access access;
  bool absolute = false;  // the guest's pointer
  bool seccomp = true;
};

// Serves one client with libvncserver, in a process of its own: what a client does there, waiting, crashing or worse, is its
// own affair. Never returns.
[[noreturn]] void client_main(ClientSetup setup);

// The library's first use of its ciphers reads files: once, before any filter.
void prepare_library();

}  // namespace lodge::vnc
