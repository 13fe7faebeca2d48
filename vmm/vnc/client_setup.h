// What the processes of a client are given, and the functions that they are.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "vmm/vnc/access.h"
#include "vmm/vnc/picture.h"
#include "vmm/vnc/tls_credentials.h"

namespace lodge::vnc {

struct ClientSetup {
  Fd socket;                              // of the client
  Fd link;                                // to the server's process (link.h)
  TlsCredentials* credentials = nullptr;  // of the server, if it has any
  bool encrypted = false;  // the client comes in over TLS: by a process of its own, which asks for the password
  const SharedPicture* picture = nullptr;
  std::string guest;
  uint64_t number = 0;  // of the client, for logs
  Access access;
  bool absolute = false;     // the guest's pointer
  bool takes_sizes = false;  // the guest can be told of a size
  bool seccomp = true;
};

// Serves one client with libvncserver, in a process of its own: what a client does there, waiting, crashing or worse, is its
// own affair. Never returns.
[[noreturn]] void client_main(ClientSetup setup);

struct TlsSetup {
  Fd socket;  // of the client
  Fd link;    // to the server's process
  Fd inner;   // to the client's process
  const SharedPicture* picture = nullptr;
  const TlsCredentials* credentials = nullptr;
  Access access;
  bool seccomp = true;
};

// Stands between a client that speaks TLS and its process (relay.h). Never returns.
[[noreturn]] void tls_main(TlsSetup setup);

}  // namespace lodge::vnc
