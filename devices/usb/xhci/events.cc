// The event ring and the interrupt (xHCI 1.0, 4.9.4, 4.17, 6.5). An event that finds no room waits here, and nothing else
// happens until the guest has made room: so at most the events of one step wait.
#include <algorithm>

#include "devices/usb/xhci/device.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

void Xhci::post_event(const Trb& event) {
  if (s_.events.size() >= kMaxEvents) {
    guest_warning(warnings_, name(), "an event is lost: the guest makes no room for it");
    return;
  }
  s_.events.push_back({event.parameter, event.status, event.control});
}

void Xhci::command_event(uint64_t command, Code code, uint8_t slot) {
  post_event({.parameter = command,
              .status = static_cast<uint32_t>(code) << 24,
              .control = static_cast<uint32_t>(TrbType::command_event) << 10 | uint32_t{slot} << 24});
}

void Xhci::transfer_event(const Slot& slot, const Endpoint& endpoint, const Trb& block, uint64_t pointer, Code code,
                          uint32_t length) {
  const bool data = type_of(block) == TrbType::event_data;
  post_event({.parameter = data ? block.parameter : pointer,
              .status = static_cast<uint32_t>(code) << 24 | (length & 0xFFFFFF),
              .control = static_cast<uint32_t>(TrbType::transfer_event) << 10 | (data ? kTrbEventData : 0) |
                         (block.control & kTrbNoInterrupt) | uint32_t{endpoint.id} << 16 | uint32_t{slot.id} << 24});
}

// The segment that is written next is known. False: there is no event ring.
bool Xhci::find_segment() {
  if (s_.segment_size != 0) {
    return true;
  }
  const uint32_t segments = std::min(s_.segments, 1U << kSegmentsExponent);
  if (segments == 0) {
    return false;
  }
  if (s_.segment >= segments) {
    s_.segment = 0;
    s_.event_cycle = !s_.event_cycle;
  }
  const Gpa entry{s_.segment_table + uint64_t{s_.segment} * kTrbBytes};
  const auto base = env_.memory.read<uint64_t>(entry);
  const auto size = env_.memory.read<uint32_t>(Gpa{entry.value + 8});
  if (!base || !size || (*size & 0xFFFF) < kMinSegment || (*size & 0xFFFF) > kMaxSegment) {
    fail_system("the event ring's segment table is wrong");
    return false;
  }
  s_.segment_base = *base & ~0x3FULL;
  s_.segment_size = *size & 0xFFFF;
  s_.segment_at = 0;
  return true;
}

void Xhci::flush_events() {
  size_t done = 0;
  bool interrupt = false;
  while (done < s_.events.size() && running() && find_segment()) {
    const uint64_t at = s_.segment_base + kTrbBytes * s_.segment_at;
    const bool last = s_.segment_at + 1 == s_.segment_size;
    // One block stays empty, so that a full ring is not an empty one. With several segments the next one's begin is asked.
    uint64_t next = at + kTrbBytes;
    if (last) {
      const uint32_t segments = std::min(s_.segments, 1U << kSegmentsExponent);
      const uint32_t following = s_.segment + 1 < segments ? s_.segment + 1 : 0;
      next = env_.memory.read<uint64_t>(Gpa{s_.segment_table + uint64_t{following} * kTrbBytes}).value_or(0) & ~0x3FULL;
    }
    if (next == s_.dequeue) {
      break;
    }
    const XhciEventState& event = s_.events[done];
    // The cycle bit comes last: only then is the event there.
    const Trb first{event.parameter, event.status, 0};
    const uint32_t control = (event.control & ~(kTrbCycle | kTrbNoInterrupt)) | (s_.event_cycle ? kTrbCycle : 0);
    if (!env_.memory.write_bytes(Gpa{at}, std::as_bytes(std::span(&first, 1)).first(12)) ||
        !env_.memory.write(Gpa{at + 12}, control)) {
      fail_system("the event ring is outside of RAM");
      break;
    }
    ++done;
    interrupt = interrupt || (event.control & kTrbNoInterrupt) == 0;
    if (last) {
      ++s_.segment;
      s_.segment_size = 0;
      (void)find_segment();
    } else {
      ++s_.segment_at;
    }
  }
  s_.events.erase(s_.events.begin(), s_.events.begin() + static_cast<ptrdiff_t>(done));
  if (interrupt) {
    s_.status |= kStsEvent;
    if (!s_.busy) {
      raise_interrupt();
    }
  }
}

void Xhci::raise_interrupt() {
  s_.busy = true;
  s_.iman |= kImanPending;
  update_interrupt();
}

void Xhci::update_interrupt() {
  const bool wanted = (s_.iman & kImanPending) != 0 && (s_.iman & kImanEnabled) != 0 && (s_.command & kCmdInterrupts) != 0;
  const bool message = msix() != nullptr && msix()->enabled();
  if (wanted && message) {
    s_.iman &= ~kImanPending;  // the message carries it (5.5.2.1)
    msix()->trigger(0);
  }
  set_intx(wanted && !message);
}

}  // namespace lodge
