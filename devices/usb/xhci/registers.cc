// The registers (xHCI 1.0, chapter 5).
#include <chrono>

#include "devices/usb/xhci/device.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr uint32_t kVersion = 0x0100;
constexpr uint32_t kAddresses64 = 1;
constexpr uint32_t kUsbWord = 0x20425355;  // "USB "

// One half of a register of 64 bits.
uint64_t with_half(uint64_t whole, bool high, uint32_t half) {
  return high ? (whole & 0xFFFFFFFF) | uint64_t{half} << 32 : (whole & ~uint64_t{0xFFFFFFFF}) | half;
}

// In 125 microseconds, of the host's clock (5.5.1).
uint32_t frame_index() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count() / 125) & 0x3FFF;
}

}  // namespace

uint32_t Xhci::read_register(uint32_t offset) {
  if (offset < kOperational) {
    return read_capability(offset);
  }
  const Lock lock(mutex_);
  if (offset >= kRuntime) {
    return offset < kDoorbells ? read_runtime(offset - kRuntime) : 0;
  }
  if (offset >= kPorts) {
    const size_t port = (offset - kPorts) / kPortStride;
    return offset % kPortStride == 0 && port < devices_.size() ? read_port(port) : 0;
  }
  return read_operational(offset - kOperational);
}

uint32_t Xhci::read_capability(uint32_t offset) const {
  const auto ports = static_cast<uint32_t>(ports_);
  switch (offset) {
    case kCapLength: return kOperational | kVersion << 16;
    case kHcsParams1: return kSlots | 1U << 8 | 2 * ports << 24;
    case kHcsParams2: return kSegmentsExponent << 4;
    case kHccParams: return kAddresses64 | (kProtocols / 4) << 16;
    case kDbOff: return kDoorbells;
    case kRtsOff: return kRuntime;
    // Supported protocols (7.2): revision and next, name, ports from which on.
    case kProtocols: return 2U | 4U << 8 | 0x0200U << 16;
    case kProtocols + 4: return kUsbWord;
    case kProtocols + 8: return 1U | ports << 8;
    case kProtocols + 0x10: return 2U | 0x0300U << 16;
    case kProtocols + 0x14: return kUsbWord;
    case kProtocols + 0x18: return (ports + 1) | ports << 8;
    default: return 0;
  }
}

uint32_t Xhci::read_operational(uint32_t offset) const {
  switch (offset) {
    case kUsbCmd: return s_.command;
    case kUsbSts: return s_.status;
    case kPageSizes: return 1;
    case kDnCtrl: return s_.notifications;
    case kCrcr: return s_.commands_run ? kCrcrRunning : 0;
    case kDcbaap: return static_cast<uint32_t>(s_.contexts);
    case kDcbaap + 4: return static_cast<uint32_t>(s_.contexts >> 32);
    case kConfig: return s_.config;
    default: return 0;
  }
}

uint32_t Xhci::read_runtime(uint32_t offset) const {
  switch (offset) {
    case kMfIndex: return running() ? frame_index() : 0;
    case kIman: return s_.iman;
    case kImod: return s_.imod;
    case kErstSize: return s_.segments;
    case kErstBase: return static_cast<uint32_t>(s_.segment_table);
    case kErstBase + 4: return static_cast<uint32_t>(s_.segment_table >> 32);
    case kErdp: return static_cast<uint32_t>(s_.dequeue) | (s_.busy ? kErdpBusy : 0);
    case kErdp + 4: return static_cast<uint32_t>(s_.dequeue >> 32);
    default: return 0;
  }
}

void Xhci::write_register(uint32_t offset, uint32_t value) {
  {
    const Lock lock(mutex_);
    if (offset >= kDoorbells) {
      ring_doorbell((offset - kDoorbells) / 4, value);
    } else if (offset >= kRuntime) {
      write_runtime(offset - kRuntime, value);
    } else if (offset >= kPorts) {
      const size_t port = (offset - kPorts) / kPortStride;
      if (offset % kPortStride == 0 && port < devices_.size()) {
        write_port(port, value);
      }
    } else if (offset >= kOperational) {
      write_operational(offset - kOperational, value);
    }
  }
  wake();
}

void Xhci::write_operational(uint32_t offset, uint32_t value) {
  switch (offset) {
    case kUsbCmd: write_command(value); break;
    case kUsbSts: s_.status &= ~(value & kStsClearable); break;
    case kDnCtrl: s_.notifications = value & 0xFFFF; break;
    case kCrcr: write_command_ring(value); break;
    case kCrcr + 4:
      if (!s_.commands_run) {
        s_.commands.at = with_half(s_.commands.at, true, value);
      }
      break;
    case kDcbaap: s_.contexts = with_half(s_.contexts, false, value & ~0x3FU); break;
    case kDcbaap + 4: s_.contexts = with_half(s_.contexts, true, value); break;
    case kConfig: s_.config = value & 0xFF; break;
    default: break;
  }
}

void Xhci::write_command(uint32_t value) {
  const bool ran = running();
  s_.command = value & (kCmdKept | kCmdReset);
  if ((value & kCmdReset) != 0) {  // on the loop; until then it reads as one
    s_.command = kCmdReset;
    s_.status |= kStsHalted;
    return;
  }
  if ((value & kCmdRestore) != 0) {  // nothing was written down: drivers then begin anew (4.23.2)
    s_.status |= kStsRestoreError;
  }
  if ((value & kCmdRun) != 0 && (s_.status & kStsSystemError) == 0) {
    s_.status &= ~kStsHalted;
  } else if (ran) {
    s_.status |= kStsHalted;
    s_.commands_run = false;
  }
  update_interrupt();
}

void Xhci::write_command_ring(uint32_t value) {
  if (s_.commands_run) {
    if ((value & (kCrcrStop | kCrcrAbort)) != 0) {  // no command is ever under way
      s_.commands_run = false;
      command_event(s_.commands.at, Code::ring_stopped, 0);
    }
    return;
  }
  s_.commands.at = with_half(s_.commands.at, false, value & ~0x3FU);
  s_.commands.cycle = (value & kCrcrCycle) != 0;
}

void Xhci::ring_doorbell(uint32_t id, uint32_t value) {
  const uint32_t target = value & 0xFF;
  if (!running()) {
    return;
  }
  if (id == 0) {
    if (target == 0) {
      s_.commands_run = s_.command_armed = true;
    }
    return;
  }
  Slot* const slot = find_slot(id);
  Endpoint* const endpoint = slot != nullptr ? find_endpoint(*slot, target) : nullptr;
  if (endpoint == nullptr) {
    return;
  }
  if (endpoint->phase == EndpointPhase::stopped) {  // 4.8.3
    endpoint->phase = EndpointPhase::running;
    show_endpoint(*slot, *endpoint);
  }
  endpoint->armed = true;
  budget_[slot->id][endpoint->id] = kAllBudget;
  waiting_[slot->id] &= ~(1U << endpoint->id);
}

void Xhci::write_runtime(uint32_t offset, uint32_t value) {
  switch (offset) {
    case kIman:
      s_.iman = (s_.iman & ~(value & kImanPending) & kImanPending) | (value & kImanEnabled);
      update_interrupt();
      break;
    case kImod: s_.imod = value; break;
    case kErstSize: s_.segments = value & 0xFFFF; break;
    case kErstBase:
    case kErstBase + 4:
      s_.segment_table = with_half(s_.segment_table, offset != kErstBase, offset != kErstBase ? value : value & ~0x3FU);
      s_.segment = s_.segment_size = s_.segment_at = 0;
      s_.event_cycle = true;
      break;
    case kErdp:
      s_.dequeue = with_half(s_.dequeue, false, value & ~0xFU);
      if ((value & kErdpBusy) != 0) {
        s_.busy = false;
        // What came while the guest was busy is news again (4.17.2).
        if (s_.segment_size != 0 && s_.segment_base + kTrbBytes * s_.segment_at != s_.dequeue) {
          raise_interrupt();
        }
      }
      break;
    case kErdp + 4: s_.dequeue = with_half(s_.dequeue, true, value); break;
    default: break;
  }
}

// Registers are doublewords; parts of them can be read.
uint64_t Xhci::Memory::io_read(IoAccess access) {
  const auto offset = static_cast<uint32_t>(access.offset & ~uint64_t{3});
  if (access.size == 8) {
    const uint64_t low = owner_.read_register(offset);
    return low | uint64_t{owner_.read_register(offset + 4)} << 32;
  }
  return truncate_to(uint64_t{owner_.read_register(offset)} >> (8 * (access.offset & 3)), access.size);
}

void Xhci::Memory::io_write(IoAccess access, uint64_t value) {
  if ((access.offset & 3) != 0 || access.size < 4) {
    return;
  }
  owner_.write_register(static_cast<uint32_t>(access.offset), static_cast<uint32_t>(value));
  if (access.size == 8) {
    owner_.write_register(static_cast<uint32_t>(access.offset) + 4, static_cast<uint32_t>(value >> 32));
  }
}

}  // namespace lodge
