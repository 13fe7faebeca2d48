// Transfers of bulk and interrupt endpoints (xHCI 1.0, 4.9.1, 4.10.1, 4.11): what their rings' blocks describe moves in
// pieces, each of which is asked of the device anew. Between two pieces all there is to know is in XhciEndpointState.
#include <algorithm>

#include "devices/usb/xhci/device.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr size_t kMaxParts = 256;  // blocks of a piece

}  // namespace

// False: the guest rings no doorbell and still has more than any ring.
bool Xhci::spend(const Slot& slot, Endpoint& endpoint) {
  uint32_t& left = budget_.at(slot.id).at(endpoint.id);
  if (left == 0) {
    guest_warning(warnings_, name(), "the ring of slot {}, endpoint {}, has no end", slot.id, endpoint.id);
    endpoint.armed = false;
    return false;
  }
  --left;
  return true;
}

void Xhci::step_endpoint(Slot& slot, Endpoint& endpoint) {
  UsbDevice* const device = device_of(slot);
  if (device != nullptr && s_.ports[slot.port - 1U].enabled && s_.ports[slot.port - 1U].link != kLinkU0) {
    waiting_[slot.id] |= 1U << endpoint.id;  // until the link is awake
    return;
  }
  UsbDevice* const reached = device != nullptr && s_.ports[slot.port - 1U].enabled ? device : nullptr;
  if (endpoint.skipping) {
    skip(slot, endpoint);
  } else if (endpoint.id == 1) {
    step_control(slot, endpoint, reached);
  } else {
    step_pieces(slot, endpoint, reached);
  }
}

// The next piece of the transfer at hand becomes parts_.
Xhci::Gathered Xhci::gather(const Endpoint& endpoint) {
  parts_.clear();
  XhciRingState at = endpoint.ring;
  size_t bytes = 0;
  for (bool end = false; !end && parts_.size() < kMaxParts && bytes < data_.size();) {
    Part part;
    const Fetched fetched = fetch(env_.memory, at, part.trb);
    if (fetched != Fetched::block) {
      return fetched == Fetched::bad ? Gathered::bad : Gathered::nothing;
    }
    part.place = at;
    part.from = parts_.empty() ? endpoint.offset : 0;
    switch (type_of(part.trb)) {
      case TrbType::normal: break;
      case TrbType::event_data:
      case TrbType::no_op: part.trb.status &= ~0x1FFFFU; break;
      default: return Gathered::bad;
    }
    if (part.from > part.length()) {
      return Gathered::bad;  // the guest has changed it
    }
    part.bytes = static_cast<uint32_t>(std::min<size_t>(part.length() - part.from, data_.size() - bytes));
    part.whole = part.from + part.bytes == part.length();
    bytes += part.bytes;
    parts_.push_back(part);
    end = part.whole && (part.trb.control & kTrbChain) == 0;
    at.at += kTrbBytes;
  }
  return Gathered::some;
}

// Of a piece that does not end its transfer, whole packets only. False: there is not one.
bool Xhci::trim(const Endpoint& endpoint) {
  const Part& last = parts_.back();
  if (last.whole && (last.trb.control & kTrbChain) == 0) {
    return true;
  }
  size_t bytes = 0;
  for (const Part& part : parts_) {
    bytes += part.bytes;
  }
  size_t excess = bytes % (endpoint.context[1] >> 16);
  if (bytes == excess && bytes != 0) {
    return false;
  }
  while (excess > 0) {
    Part& part = parts_.back();
    const auto less = static_cast<uint32_t>(std::min<size_t>(excess, part.bytes));
    part.bytes -= less;
    part.whole = part.whole && less == 0;
    excess -= less;
    if (part.bytes == 0) {
      parts_.pop_back();
    }
  }
  return true;
}

bool Xhci::copy_out(const Part& part, std::span<std::byte> data) const {
  if (data.empty()) {
    return true;
  }
  if ((part.trb.control & kTrbImmediate) != 0) {
    if (part.length() > sizeof(part.trb.parameter)) {
      return false;
    }
    std::ranges::copy(std::as_bytes(std::span(&part.trb.parameter, 1)).subspan(part.from, data.size()), data.begin());
    return true;
  }
  return env_.memory.read_bytes(Gpa{part.trb.parameter + part.from}, data).has_value();
}

// The beginning of data_ from, or to, the buffers of parts_.
bool Xhci::copy_parts_out(size_t bytes) {
  size_t done = 0;
  for (const Part& part : parts_) {
    const size_t now = std::min<size_t>(part.bytes, bytes - done);
    if (!copy_out(part, std::span(data_).subspan(done, now))) {
      return false;
    }
    done += now;
  }
  return true;
}

bool Xhci::copy_parts_in(size_t bytes) {
  size_t done = 0;
  for (const Part& part : parts_) {
    const size_t now = std::min<size_t>(part.bytes, bytes - done);
    const auto data = std::span(data_).subspan(done, now);
    if (now != 0 && !env_.memory.write_bytes(Gpa{part.trb.parameter + part.from}, data)) {
      return false;
    }
    done += now;
  }
  return true;
}

void Xhci::step_pieces(Slot& slot, Endpoint& endpoint, UsbDevice* device) {
  const uint32_t type = endpoint.context[1] >> 3 & 7;
  const bool in = (endpoint.id & 1) != 0;
  const bool known =
      in ? type == kTypeBulkIn || type == kTypeInterruptIn : type == kTypeBulkOut || type == kTypeInterruptOut;
  switch (gather(endpoint)) {
    case Gathered::nothing: endpoint.armed = false; return;
    case Gathered::bad: halt(slot, endpoint, nullptr, Code::trb_error); return;
    case Gathered::some: break;
  }
  if (!known || !trim(endpoint)) {
    halt(slot, endpoint, &parts_.front(), Code::trb_error);
    return;
  }
  size_t bytes = 0;
  bool moves = false;
  for (const Part& part : parts_) {
    bytes += part.bytes;
    moves = moves || type_of(part.trb) == TrbType::normal;
  }
  if (!moves) {  // nothing to ask a device for
    pass(slot, endpoint, 0, false);
    return;
  }
  const auto data = std::span(data_).first(bytes);
  if (!in && !copy_parts_out(bytes)) {
    halt(slot, endpoint, &parts_.front(), Code::trb_error);
    return;
  }
  UsbAnswer answer;
  if (device != nullptr) {
    answer = in ? device->in(endpoint.id / 2, data) : device->out(endpoint.id / 2, data);
  }
  switch (answer.status) {
    case UsbStatus::nak: waiting_[slot.id] |= 1U << endpoint.id; return;
    case UsbStatus::stall: halt(slot, endpoint, &parts_.front(), Code::stall); return;
    case UsbStatus::babble: halt(slot, endpoint, &parts_.front(), Code::babble); return;
    case UsbStatus::none: halt(slot, endpoint, &parts_.front(), Code::transaction_error); return;
    case UsbStatus::done:
    case UsbStatus::more: break;
  }
  const size_t moved = !in && answer.status == UsbStatus::done ? bytes : std::min(answer.bytes, bytes);
  if (in && !copy_parts_in(moved)) {
    halt(slot, endpoint, &parts_.front(), Code::trb_error);
    return;
  }
  bytes_.fetch_add(moved, std::memory_order_relaxed);
  pass(slot, endpoint, moved, answer.status == UsbStatus::done && moved < bytes);
}

// The ring moves on over what was moved. `ended`: the device has no more, and there is room for more.
void Xhci::pass(Slot& slot, Endpoint& endpoint, size_t bytes, bool ended) {
  for (const Part& part : parts_) {
    const auto now = static_cast<uint32_t>(std::min<size_t>(part.bytes, bytes));
    bytes -= now;
    endpoint.moved += now;
    if (now == part.bytes && part.whole) {
      pass_block(slot, endpoint, part);
      continue;
    }
    endpoint.ring = part.place;
    endpoint.offset = part.from + now;
    if (ended) {
      end_short(slot, endpoint, part);
    }
    return;
  }
}

void Xhci::pass_block(Slot& slot, Endpoint& endpoint, const Part& part) {
  endpoint.ring = {part.place.at + kTrbBytes, part.place.cycle};
  endpoint.offset = 0;
  if ((part.trb.control & kTrbEvent) != 0) {
    const bool data = type_of(part.trb) == TrbType::event_data;
    transfer_event(slot, endpoint, part.trb, part.place.at, Code::success, data ? endpoint.moved : 0);
  }
  if (type_of(part.trb) == TrbType::event_data) {
    endpoint.moved = 0;
  }
  if ((part.trb.control & kTrbChain) == 0) {
    endpoint.moved = 0;
    transfers_.fetch_add(1, std::memory_order_relaxed);
  }
  (void)spend(slot, endpoint);
}

// A short packet ended the transfer in this block (4.10.1.1).
void Xhci::end_short(Slot& slot, Endpoint& endpoint, const Part& part) {
  endpoint.reported = (part.trb.control & (kTrbShortEvent | kTrbEvent)) != 0;
  if (endpoint.reported) {
    transfer_event(slot, endpoint, part.trb, part.place.at, Code::short_packet, part.length() - endpoint.offset);
  }
  endpoint.ring = {part.place.at + kTrbBytes, part.place.cycle};
  endpoint.offset = 0;
  endpoint.skipping = (part.trb.control & kTrbChain) != 0;
  if (!endpoint.skipping) {
    endpoint.moved = 0;
    endpoint.reported = false;
    transfers_.fetch_add(1, std::memory_order_relaxed);
  }
  (void)spend(slot, endpoint);
}

// The rest of a transfer that ended short. Its event, if it was not told yet, is that of the first block which wants one.
void Xhci::skip(Slot& slot, Endpoint& endpoint) {
  for (size_t i = 0; i < kMaxParts && endpoint.skipping; ++i) {
    Trb trb;
    const Fetched fetched = fetch(env_.memory, endpoint.ring, trb);
    if (fetched == Fetched::nothing) {
      endpoint.armed = false;
      return;
    }
    if (fetched == Fetched::bad) {
      halt(slot, endpoint, nullptr, Code::trb_error);
      return;
    }
    const bool data = type_of(trb) == TrbType::event_data;
    if ((trb.control & kTrbEvent) != 0 && (data || !endpoint.reported)) {
      const uint32_t length = data ? endpoint.moved : trb.status & 0x1FFFF;
      transfer_event(slot, endpoint, trb, endpoint.ring.at, Code::short_packet, length);
      endpoint.reported = true;
    }
    endpoint.moved = data ? 0 : endpoint.moved;
    endpoint.ring.at += kTrbBytes;
    if ((trb.control & kTrbChain) == 0) {
      endpoint.skipping = endpoint.reported = false;
      endpoint.moved = 0;
      transfers_.fetch_add(1, std::memory_order_relaxed);
    }
    if (!spend(slot, endpoint)) {
      return;
    }
  }
}

// The endpoint stops with an error, at the block that had it (4.10.2).
void Xhci::halt(Slot& slot, Endpoint& endpoint, const Part* at, Code code) {
  if (code == Code::trb_error) {
    guest_warning(warnings_, name(), "the ring of slot {}, endpoint {}, cannot be followed", slot.id, endpoint.id);
  }
  Trb none;
  if (at != nullptr) {
    endpoint.offset = at->place == endpoint.ring ? endpoint.offset : 0;
    endpoint.ring = at->place;
  }
  const uint32_t length = at != nullptr ? at->length() - std::min(at->length(), endpoint.offset) : 0;
  transfer_event(slot, endpoint, at != nullptr ? at->trb : none, endpoint.ring.at, code, length);
  endpoint.armed = false;
  endpoint.phase = code == Code::trb_error ? EndpointPhase::error : EndpointPhase::halted;
  show_endpoint(slot, endpoint);
}

}  // namespace lodge
