// Slots and endpoints, and the contexts in guest memory that show the guest how they are (xHCI 1.0, 6.2). What counts is
// here; contexts of the guest's are read when a command names them.
#include <algorithm>

#include "devices/usb/xhci/device.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr uint32_t kPhaseMask = 7;
constexpr uint32_t kStreams = 0x1FU << 10;

}  // namespace

XhciSlotState* Xhci::find_slot(uint32_t id) {
  const auto it = std::ranges::find_if(s_.slots, [id](const Slot& slot) { return slot.id == id; });
  return it != s_.slots.end() ? &*it : nullptr;
}

XhciEndpointState* Xhci::find_endpoint(Slot& slot, uint32_t id) {
  const auto it = std::ranges::find_if(slot.endpoints, [id](const Endpoint& one) { return one.id == id; });
  return it != slot.endpoints.end() ? &*it : nullptr;
}

std::optional<uint32_t> Xhci::read_context_word(uint64_t context, uint64_t word) const {
  const auto value = env_.memory.read<uint32_t>(Gpa{context + word * 4});
  return value ? std::optional(*value) : std::nullopt;
}

// A context that lies where there is no memory shows nothing.
void Xhci::show_slot(const Slot& slot) {
  const uint32_t address = slot.phase >= SlotPhase::addressed ? slot.id : 0;
  const std::array<uint32_t, 4> words{slot.context[0], slot.context[1], slot.context[2],
                                      address | static_cast<uint32_t>(slot.phase) << 27};
  if (!env_.memory.write_bytes(Gpa{slot.contexts}, std::as_bytes(std::span(words)))) {
    guest_warning(warnings_, name(), "the contexts of slot {} are outside of RAM", slot.id);
  }
}

void Xhci::show_endpoint(const Slot& slot, const Endpoint& endpoint) {
  const uint64_t dequeue = endpoint.ring.at | (endpoint.ring.cycle ? 1 : 0);
  const std::array<uint32_t, 5> words{(endpoint.context[0] & ~kPhaseMask) | static_cast<uint32_t>(endpoint.phase),
                                      endpoint.context[1], static_cast<uint32_t>(dequeue),
                                      static_cast<uint32_t>(dequeue >> 32), endpoint.context[4]};
  (void)env_.memory.write_bytes(Gpa{slot.contexts + kContextBytes * endpoint.id}, std::as_bytes(std::span(words)));
}

void Xhci::drop_endpoint(Slot& slot, uint8_t id) {
  std::erase_if(slot.endpoints, [id](const Endpoint& one) { return one.id == id; });
  waiting_[slot.id] &= ~(1U << id);
  show_endpoint(slot, {.id = id});
}

// What a context of the guest's says; nothing: it says nothing that could be done.
std::optional<XhciEndpointState> Xhci::read_endpoint(uint64_t context, uint8_t id) const {
  Endpoint endpoint{.id = id, .phase = EndpointPhase::running};
  for (size_t i = 0; i < endpoint.context.size(); ++i) {
    const auto word = read_context_word(context, i);
    if (!word) {
      return std::nullopt;
    }
    endpoint.context.at(i) = *word;
  }
  const uint32_t type = endpoint.context[1] >> 3 & 7;
  const uint64_t dequeue = endpoint.context[2] | uint64_t{endpoint.context[3]} << 32;
  if (type == 0 || (type == kTypeControl) != (id == 1) || endpoint.context[1] >> 16 == 0 ||
      (endpoint.context[0] & kStreams) != 0) {
    return std::nullopt;
  }
  endpoint.ring = {dequeue & ~(kTrbBytes - 1), (dequeue & 1) != 0};
  return endpoint;
}

}  // namespace lodge
