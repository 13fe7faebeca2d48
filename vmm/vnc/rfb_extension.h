// Two extensions of the RFB protocol by QEMU, which its clients (gtk-vnc: virt-manager, virt-viewer; noVNC) use when the
// server knows them: extended key events (-258), keys by scan code, so that the layout does not matter, and pointer motion
// change (-257), a mouse's steps instead of places.
#pragma once

#include <rfb/rfb.h>

#include <cstdint>
#include <functional>

namespace lodge::vnc {

struct RfbExtensionHooks {
  std::function<void(uint32_t scancode, uint32_t keysym, bool down)> key;
  std::function<bool()> client_steps;  // the client now knows of pointer motion; whether it shall send steps
};

// For the process's one client. Before it is made.
void register_rfb_extension(RfbExtensionHooks hooks);
// Tells the client which kind of pointer the guest has, if it wants to know.
void tell_pointer_kind(rfbClientPtr client, bool absolute);

}  // namespace lodge::vnc
