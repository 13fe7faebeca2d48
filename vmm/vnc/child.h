// What the processes that serve a client have in common: descriptors at fixed places, last words, confinement.
#pragma once

#include <initializer_list>
#include <string_view>

#include "base/fd.h"
#include "vmm/vnc/link.h"
#include "vmm/vnc/picture.h"

namespace lodge::vnc {

inline constexpr int kSocket = 3;  // of the client, or to its TLS process
inline constexpr int kLink = 4;
inline constexpr int kInner = 5;  // of the TLS process, to the one with libvncserver

// Tells the server, and ends the process. `detail`: for developers.
[[noreturn]] void leave(Leaving::Reason reason, std::string_view detail = {});

// First thing in the process: ends it with its parent, moves these to kSocket, kLink..., and closes all others.
void settle(std::initializer_list<Fd*> descriptors);

// Last thing before the client is listened to.
void confine(const SharedPicture& picture, bool seccomp);

}  // namespace lodge::vnc
