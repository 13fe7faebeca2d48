// The schedule (UHCI 1.1, chapter 3): each frame follows its entry of the frame list, over descriptors and queues.
#include <algorithm>

#include "devices/usb/uhci/device.h"

namespace lodge {

using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr int kMostFrames = 16;         // of those that are due; others pass without being looked at
constexpr int kMostLinks = 512;         // of one frame
constexpr uint32_t kFrameBytes = 1500;  // what 12 Mbit/s carry
constexpr uint32_t kPacketCost = 13;    // bytes that a packet takes besides its own: tokens, acknowledgement, gaps

}  // namespace

void Uhci::run_due_frames() {
  const Clock::time_point now = now_();
  if (now < next_frame_) {
    return;
  }
  const auto due = (now - next_frame_) / kFrameTime + 1;
  next_frame_ += due * kFrameTime;
  if (due > kMostFrames) {
    s_.frame = static_cast<uint16_t>((s_.frame + due - kMostFrames) & kFrameMask);
  }
  const auto looked_at = std::min<int64_t>(due, kMostFrames);
  for (int64_t i = 0; i < looked_at && running(); ++i) {
    quiet_frames_ = run_frame() ? 0 : quiet_frames_ + (quiet_frames_ != ~0U ? 1 : 0);
  }
  frames_.fetch_add(static_cast<uint64_t>(looked_at), std::memory_order_relaxed);
  s_.status |= s_.completed || s_.was_short ? kStsInterrupt : 0;
  update_interrupt();
}

// True: something moved.
bool Uhci::run_frame() {
  const uint32_t entry = s_.list + 4 * (s_.frame % kFrames);
  s_.frame = (s_.frame + 1) & kFrameMask;
  const auto first = env_.memory.read<uint32_t>(Gpa{entry});
  if (!first) {
    fail(kStsSystemError, "the frame list is not in memory");
    return false;
  }
  seen_.clear();
  bool moved = false;
  uint32_t link = *first;
  uint32_t queue = 0;  // whose element is at hand
  QueueHead head;
  uint64_t budget = kFrameBytes;
  for (int i = 0; i < kMostLinks && (link & kLinkEnd) == 0; ++i) {
    const uint32_t at = link & kLinkMask;
    if ((link & kLinkQueue) != 0) {
      // A loop of queues, as drivers make it to use what is left of a frame, is followed as long as something moves.
      const auto next = env_.memory.read<uint32_t>(Gpa{at});
      const auto element = env_.memory.read<uint32_t>(Gpa{uint64_t{at} + 4});
      if (!next || !element) {
        fail(kStsSystemError, "a queue head is not in memory");
        return moved;
      }
      if (std::ranges::find(seen_, at) != seen_.end()) {
        return moved;
      }
      seen_.push_back(at);
      head = {*next, *element};
      const bool empty = (head.element & kLinkEnd) != 0;
      queue = empty || (head.element & kLinkQueue) != 0 ? 0 : at;
      link = empty ? head.next : head.element;
      continue;
    }
    Td td;
    if (!env_.memory.read_bytes(Gpa{at}, std::as_writable_bytes(std::span(&td, 1)))) {
      fail(kStsSystemError, "a transfer descriptor is not in memory");
      return moved;
    }
    const uint64_t cost = std::min<uint64_t>(td.length(), kMostPacket) + kPacketCost;
    if ((td.control & kTdActive) != 0 && cost > budget) {
      return moved;  // the frame is over
    }
    switch (run_td(at, queue != 0, td)) {
      case Outcome::fatal: return moved;
      case Outcome::waits:
      case Outcome::stopped: link = queue != 0 ? head.next : td.link; break;
      case Outcome::done:
        moved = true;
        budget -= cost;
        seen_.clear();
        link = td.link;
        if (queue != 0) {
          if (!env_.memory.write<uint32_t>(Gpa{uint64_t{queue} + 4}, td.link)) {
            fail(kStsSystemError, "a queue head cannot be written");
            return moved;
          }
          // A queue that goes on with a queue has no more descriptors of its own.
          const bool depth = (td.link & (kLinkDepth | kLinkEnd | kLinkQueue)) == kLinkDepth;
          link = depth ? td.link : head.next;
        }
        break;
    }
    if (queue != 0 && link == head.next) {
      queue = 0;
    }
  }
  return moved;
}

Uhci::Outcome Uhci::run_td(uint32_t at, bool queued, Td& td) {
  if ((td.control & kTdActive) == 0) {
    return Outcome::stopped;
  }
  const bool known = td.pid() == kPidSetup || td.pid() == kPidIn || td.pid() == kPidOut;
  if (!known || td.length() > kMostPacket) {
    fail(kStsProcessError, "a transfer descriptor makes no sense");
    return Outcome::fatal;
  }
  const auto data = std::span(data_).first(td.length());
  if (td.pid() != kPidIn && !data.empty() && !env_.memory.read_bytes(Gpa{td.buffer}, data)) {
    fail(kStsSystemError, "a packet is not in memory");
    return Outcome::fatal;
  }
  const UsbAnswer answer = packet(td);
  if (td.pid() == kPidIn && answer.status == UsbStatus::done && answer.bytes != 0 &&
      !env_.memory.write_bytes(Gpa{td.buffer}, data.first(answer.bytes))) {
    fail(kStsSystemError, "a packet's room is not in memory");
    return Outcome::fatal;
  }
  return finish_td(at, queued, td, answer);
}

// The descriptor tells how it went (3.2.2).
Uhci::Outcome Uhci::finish_td(uint32_t at, bool queued, Td& td, const UsbAnswer& answer) {
  const uint32_t before = td.control;
  const bool isochronous = (before & kTdIsochronous) != 0;
  Outcome outcome = Outcome::stopped;
  td.control &= ~kTdStatusMask;
  switch (answer.status) {
    case UsbStatus::nak:
      td.control |= kTdNak;
      outcome = Outcome::waits;
      break;
    case UsbStatus::done:
    case UsbStatus::more: {
      td.control &= ~(kTdActive | kTdLengthMask);
      td.control |= (static_cast<uint32_t>(answer.bytes) - 1) & kTdLengthMask;
      outcome = Outcome::done;
      packets_.fetch_add(1, std::memory_order_relaxed);
      bytes_.fetch_add(answer.bytes, std::memory_order_relaxed);
      s_.completed = s_.completed || (before & kTdComplete) != 0;
      if (td.pid() == kPidIn && answer.bytes < td.length() && (before & kTdShort) != 0) {
        s_.was_short = true;
        outcome = queued ? Outcome::stopped : Outcome::done;  // the driver sees to the rest of the queue
      }
      break;
    }
    case UsbStatus::stall:
    case UsbStatus::babble:
      td.control &= ~kTdActive;
      td.control |= kTdStalled | (answer.status == UsbStatus::babble ? kTdBabble : 0);
      s_.status |= kStsError;
      break;
    case UsbStatus::none: {  // nobody answers
      td.control |= kTdTimeout;
      const uint32_t left = (before & kTdErrors) >> kTdErrorShift;
      td.control = (td.control & ~kTdErrors) | (left != 0 ? left - 1 : 0) << kTdErrorShift;
      outcome = Outcome::waits;
      if (left == 1) {
        td.control = (td.control & ~kTdActive) | kTdStalled;
        s_.status |= kStsError;
        outcome = Outcome::stopped;
      }
      break;
    }
  }
  if (isochronous) {  // has no second try
    td.control &= ~kTdActive;
    s_.completed = s_.completed || (before & kTdComplete) != 0;
  }
  if (outcome == Outcome::stopped && answer.status != UsbStatus::done) {
    s_.completed = s_.completed || (before & kTdComplete) != 0;
  }
  if (td.control != before && !env_.memory.write<uint32_t>(Gpa{uint64_t{at} + 4}, td.control)) {
    fail(kStsSystemError, "a transfer descriptor cannot be written");
    return Outcome::fatal;
  }
  return outcome;
}

}  // namespace lodge
