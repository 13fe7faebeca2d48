// Reading a ring of transfer request blocks in guest memory (xHCI 1.0, 4.9): the block at a place, links followed.
#pragma once

#include "base/memory/guest_memory.h"
#include "devices/usb/xhci/state.h"

namespace lodge::xhci {

enum class Fetched : uint8_t {
  block,
  nothing,  // the guest has not filled it yet
  bad,      // outside of RAM, or links that lead to links
};

// `at` moves over links to the block.
[[nodiscard]] Fetched fetch(const GuestMemory& memory, XhciRingState& at, Trb& trb);

}  // namespace lodge::xhci
