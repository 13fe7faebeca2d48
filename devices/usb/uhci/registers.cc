// The I/O registers (UHCI 1.1, 2.1).
#include "devices/usb/uhci/device.h"

namespace lodge {

using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document

// Registers are read and written by bytes; what lies between them reads as zero.
uint64_t Uhci::Ports::io_read(IoAccess access) {
  const Lock lock(owner_.mutex_);
  uint64_t value = 0;
  for (uint8_t i = 0; i < access.size; ++i) {
    const uint64_t at = access.offset + i;
    value |= uint64_t{owner_.read_register(at & ~1ULL) >> (8 * (at & 1)) & 0xFF} << (8 * i);
  }
  return value;
}

void Uhci::Ports::io_write(IoAccess access, uint64_t value) {
  {
    const Lock lock(owner_.mutex_);
    // A doubleword is two registers, or one; a byte leaves the other half of its register as it is.
    for (uint8_t i = 0; i < access.size;) {
      const uint64_t at = access.offset + i;
      const auto part = static_cast<uint32_t>(value >> (8 * i));
      if ((at & 1) == 0 && access.size - i >= 2) {
        owner_.write_register(at, part & 0xFFFF);
        i += 2;
        continue;
      }
      const uint64_t whole = at & ~1ULL;
      // Bits that a one clears are not written back as they were read.
      const uint32_t clears = whole == kStatus                                     ? kStsClearable
                              : whole >= kPorts && whole < kPorts + 2 * kPortCount ? kPortConnectChange | kPortEnableChange
                                                                                   : 0U;
      const uint32_t kept = owner_.read_register(whole) & ~clears;
      owner_.write_register(whole, (at & 1) != 0 ? (kept & 0xFF) | (part & 0xFF) << 8 : (kept & 0xFF00) | (part & 0xFF));
      ++i;
    }
  }
  owner_.wake();
}

// 16 bits at an even offset.
uint32_t Uhci::read_register(uint64_t offset) {
  switch (offset) {
    case kCommand: return s_.command;
    case kStatus: return s_.status;
    case kInterrupts: return s_.interrupts;
    case kFrame:
      if (running()) {
        wake();  // frames that are looked at together
      }
      return s_.frame;
    case kList: return s_.list & 0xFFFF;
    case kList + 2: return s_.list >> 16;
    case kSof: return s_.sof;
    default: break;
  }
  const uint64_t port = (offset - kPorts) / 2;
  return offset >= kPorts && port < kPortCount ? read_port(port) : 0;
}

void Uhci::write_register(uint64_t offset, uint32_t value) {
  const auto half = static_cast<uint16_t>(value);
  switch (offset) {
    case kCommand: write_command(half); return;
    case kStatus:
      s_.status &= static_cast<uint16_t>(~(half & kStsClearable));
      if ((half & kStsInterrupt) != 0) {
        s_.completed = s_.was_short = false;
      }
      update_interrupt();
      return;
    case kInterrupts:
      s_.interrupts = half & kIntMask;
      update_interrupt();
      return;
    case kFrame:
      if (!running()) {
        s_.frame = half & kFrameMask;
      }
      return;
    case kList: s_.list = ((s_.list & 0xFFFF0000) | half) & kListMask; return;
    case kList + 2: s_.list = (s_.list & 0xFFFF) | uint32_t{half} << 16; return;
    case kSof: s_.sof = half & kSofMask; return;
    default: break;
  }
  const uint64_t port = (offset - kPorts) / 2;
  if (offset >= kPorts && port < kPortCount) {
    write_port(port, half);
  }
}

void Uhci::write_command(uint16_t value) {
  if ((value & kCmdReset) != 0) {
    reset_controller();
    return;
  }
  const uint16_t before = s_.command;
  s_.command = value & kCmdMask;
  if ((value & kCmdGlobalReset) != 0 && (before & kCmdGlobalReset) == 0) {
    for (UhciPortState& port : s_.ports) {
      begin_port_reset(port);
    }
  }
  if ((value & kCmdRun) != 0) {
    if ((before & kCmdRun) == 0) {
      next_frame_ = now_();
      quiet_frames_ = 0;
    }
    s_.status &= static_cast<uint16_t>(~kStsHalted);
  } else {
    s_.status |= kStsHalted;
  }
}

}  // namespace lodge
