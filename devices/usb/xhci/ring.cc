#include "devices/usb/xhci/ring.h"

namespace lodge::xhci {
namespace {

constexpr int kMaxLinks = 8;  // in a row

}  // namespace

Fetched fetch(const GuestMemory& memory, XhciRingState& at, Trb& trb) {
  for (int links = 0; links <= kMaxLinks; ++links) {
    const auto read = memory.read<Trb>(Gpa{at.at});
    if (!read) {
      return Fetched::bad;
    }
    trb = *read;
    if (((trb.control & kTrbCycle) != 0) != at.cycle) {
      return Fetched::nothing;
    }
    if (type_of(trb) != TrbType::link) {
      return Fetched::block;
    }
    at.at = trb.parameter & ~(kTrbBytes - 1);
    at.cycle = at.cycle != ((trb.control & kTrbToggle) != 0);
  }
  return Fetched::bad;
}

}  // namespace lodge::xhci
