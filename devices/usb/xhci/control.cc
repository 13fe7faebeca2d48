// Control transfers (xHCI 1.0, 4.11.2.2): a setup stage, maybe data, and a status stage. One is carried out when all of it
// is in the ring, and at once.
#include <algorithm>
#include <bit>

#include "devices/usb/xhci/device.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr size_t kMaxParts = 256;  // blocks of a transfer

}  // namespace

Xhci::Gathered Xhci::gather_control(const Endpoint& endpoint) {
  parts_.clear();
  XhciRingState at = endpoint.ring;
  size_t bytes = 0;
  bool ending = false;
  while (parts_.size() < kMaxParts) {
    Part part;
    const Fetched fetched = fetch(env_.memory, at, part.trb);
    if (fetched != Fetched::block) {
      return fetched == Fetched::bad ? Gathered::bad : Gathered::nothing;
    }
    part.place = at;
    part.whole = true;
    const TrbType type = type_of(part.trb);
    const bool alone = parts_.empty();
    switch (type) {
      case TrbType::setup:  // one that follows another without an end begins anew
        parts_.clear();
        bytes = 0;
        ending = false;
        break;
      case TrbType::data:
      case TrbType::normal:
        part.bytes = part.length();
        bytes += part.bytes;
        break;
      case TrbType::status: ending = true; break;
      case TrbType::no_op:
      case TrbType::event_data: part.trb.status &= ~0x1FFFFU; break;
      default: return Gathered::bad;
    }
    const bool passes = type == TrbType::no_op || type == TrbType::event_data;
    if (bytes > data_.size() || (alone && type != TrbType::setup && !passes)) {
      return Gathered::bad;
    }
    parts_.push_back(part);
    at.at += kTrbBytes;
    if ((part.trb.control & kTrbChain) == 0 && (ending || (alone && passes))) {
      return Gathered::some;
    }
  }
  return Gathered::bad;
}

void Xhci::step_control(Slot& slot, Endpoint& endpoint, UsbDevice* device) {
  switch (gather_control(endpoint)) {
    case Gathered::nothing: endpoint.armed = false; return;
    case Gathered::bad: halt(slot, endpoint, nullptr, Code::trb_error); return;
    case Gathered::some: break;
  }
  if (type_of(parts_.front().trb) != TrbType::setup) {
    pass(slot, endpoint, 0, false);
    return;
  }
  const auto setup = std::bit_cast<UsbSetup>(parts_.front().trb.parameter);
  size_t length = 0;
  for (const Part& part : parts_) {
    length += part.bytes;
  }
  length = std::min<size_t>(length, setup.length);
  const auto data = std::span(data_).first(length);
  const Part& next = parts_[1];  // of data, or the status
  if (!setup.in() && !copy_parts_out(length)) {
    halt(slot, endpoint, &next, Code::trb_error);
    return;
  }
  const UsbAnswer answer = device != nullptr ? device->control(setup, data) : UsbAnswer{};
  switch (answer.status) {
    case UsbStatus::nak: waiting_[slot.id] |= 1U << endpoint.id; return;
    case UsbStatus::none: halt(slot, endpoint, &next, Code::transaction_error); return;
    case UsbStatus::stall:
    case UsbStatus::babble: halt(slot, endpoint, &next, Code::stall); return;
    case UsbStatus::done:
    case UsbStatus::more: break;
  }
  const size_t moved = setup.in() ? std::min(answer.bytes, length) : length;
  if (setup.in() && !copy_parts_in(moved)) {
    halt(slot, endpoint, &next, Code::trb_error);
    return;
  }
  bytes_.fetch_add(moved, std::memory_order_relaxed);
  finish_control(slot, endpoint, moved);
}

void Xhci::finish_control(Slot& slot, Endpoint& endpoint, size_t bytes) {
  uint32_t moved = 0;
  bool is_short = false;
  bool reported = false;
  for (const Part& part : parts_) {
    const TrbType type = type_of(part.trb);
    const bool data = type == TrbType::data || type == TrbType::normal;
    const auto now = static_cast<uint32_t>(std::min<size_t>(part.bytes, bytes));
    bytes -= now;
    moved += now;
    is_short = type != TrbType::status && (is_short || now < part.bytes);
    reported = reported && type != TrbType::status;
    const bool wants = (part.trb.control & kTrbEvent) != 0 || (is_short && data && (part.trb.control & kTrbShortEvent) != 0);
    if (wants && !(reported && data)) {
      const uint32_t length = type == TrbType::event_data ? moved : part.bytes - now;
      transfer_event(slot, endpoint, part.trb, part.place.at, is_short ? Code::short_packet : Code::success, length);
      reported = reported || (is_short && data);
    }
    moved = type == TrbType::event_data ? 0 : moved;
    (void)spend(slot, endpoint);
  }
  endpoint.ring = {parts_.back().place.at + kTrbBytes, parts_.back().place.cycle};
  endpoint.offset = endpoint.moved = 0;
  transfers_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace lodge
