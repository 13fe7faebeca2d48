// The command ring (xHCI 1.0, 4.6). Each command is carried out at once.
#include <algorithm>
#include <bit>

#include "devices/usb/xhci/device.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr uint32_t kSlotContext = 1;  // bits of an input context's flags
constexpr uint32_t kControlEndpoint = 2;
constexpr uint32_t kRouteMask = 0xFFFFF;
constexpr uint32_t kEntriesShift = 27;

uint64_t input_context(const Trb& command) { return command.parameter & ~(kTrbBytes - 1); }
uint32_t endpoint_of(const Trb& command) { return command.control >> 16 & 0x1F; }

}  // namespace

void Xhci::step_command() {
  Trb command;
  const Fetched fetched = fetch(env_.memory, s_.commands, command);
  if (fetched == Fetched::bad) {
    fail_system("the command ring is outside of RAM or leads nowhere");
    return;
  }
  if (fetched == Fetched::nothing) {
    s_.command_armed = false;
    return;
  }
  const uint64_t at = s_.commands.at;
  s_.commands.at += kTrbBytes;
  auto slot = static_cast<uint8_t>(command.control >> 24);
  const Code code = execute(command, slot);
  commands_.fetch_add(1, std::memory_order_relaxed);
  command_event(at, code, slot);
}

Xhci::Code Xhci::execute(const Trb& command, uint8_t& slot) {
  switch (type_of(command)) {
    case TrbType::no_op_command: return Code::success;
    case TrbType::enable_slot: return enable_slot(slot);
    case TrbType::disable_slot:
    case TrbType::address_device:
    case TrbType::configure_endpoint:
    case TrbType::evaluate_context:
    case TrbType::reset_endpoint:
    case TrbType::stop_endpoint:
    case TrbType::set_dequeue:
    case TrbType::reset_device: break;
    default:
      guest_warning(warnings_, name(), "command {} is not known", command.control >> 10 & 0x3F);
      return Code::trb_error;
  }
  Slot* const found = find_slot(slot);
  if (found == nullptr) {
    return Code::slot_not_enabled;
  }
  switch (type_of(command)) {
    case TrbType::disable_slot: return disable_slot(*found);
    case TrbType::address_device: return address_device(*found, command);
    case TrbType::configure_endpoint: return configure_endpoint(*found, command);
    case TrbType::evaluate_context: return evaluate_context(*found, command);
    case TrbType::reset_endpoint: return reset_endpoint(*found, command);
    case TrbType::stop_endpoint: return stop_endpoint(*found, command);
    case TrbType::set_dequeue: return set_dequeue(*found, command);
    default: return reset_device(*found);
  }
}

Xhci::Code Xhci::enable_slot(uint8_t& slot) {
  const uint32_t most = std::min<uint32_t>(s_.config, kSlots);
  for (uint32_t id = 1; id <= most; ++id) {
    if (find_slot(id) == nullptr) {
      slot = static_cast<uint8_t>(id);
      s_.slots.push_back({.id = slot});
      waiting_[id] = 0;
      return Code::success;
    }
  }
  slot = 0;
  return Code::no_slots;
}

Xhci::Code Xhci::disable_slot(Slot& slot) {
  if (slot.phase != SlotPhase::disabled) {
    slot.phase = SlotPhase::disabled;
    show_slot(slot);
  }
  std::erase_if(s_.slots, [id = slot.id](const Slot& one) { return one.id == id; });
  next_slot_ = 0;
  return Code::success;
}

Xhci::Code Xhci::address_device(Slot& slot, const Trb& command) {
  const bool block = (command.control & kTrbBlockSetAddress) != 0;
  if (slot.phase > SlotPhase::defaulted || (block && slot.phase != SlotPhase::disabled)) {
    return Code::context_state;
  }
  const uint64_t input = input_context(command);
  const auto adds = read_context_word(input, 1);
  if (!adds || (*adds & (kSlotContext | kControlEndpoint)) != (kSlotContext | kControlEndpoint)) {
    return Code::parameter;
  }
  std::array<uint32_t, 3> context{};
  for (size_t i = 0; i < context.size(); ++i) {
    const auto word = read_context_word(input + kContextBytes, i);
    if (!word) {
      return Code::parameter;
    }
    context.at(i) = *word;
  }
  const uint32_t port = context[1] >> 16 & 0xFF;
  auto control = read_endpoint(input + 2 * kContextBytes, 1);
  const auto contexts = env_.memory.read<uint64_t>(Gpa{s_.contexts + 8ULL * slot.id});
  const bool taken = std::ranges::any_of(s_.slots, [&](const Slot& other) {
    return other.id != slot.id && other.port == port && other.port != 0 && !other.detached;
  });
  if (port == 0 || port > devices_.size() || (context[0] & kRouteMask) != 0 || !control || !contexts || taken) {
    guest_warning(warnings_, name(), "slot {} cannot be the device at port {}", slot.id, port);
    return Code::parameter;
  }
  UsbDevice* const device = device_at(port - 1);
  if (device == nullptr || !s_.ports[port - 1].enabled) {
    return Code::transaction_error;
  }
  slot.port = static_cast<uint8_t>(port);
  slot.detached = false;
  slot.contexts = *contexts & ~0x3FULL;
  slot.context = context;
  slot.endpoints.assign(1, *control);
  slot.phase = block ? SlotPhase::defaulted : SlotPhase::addressed;
  waiting_[slot.id] = 0;
  if (!block) {
    device->set_address(slot.id);
  }
  show_slot(slot);
  show_endpoint(slot, slot.endpoints.front());
  return Code::success;
}

Xhci::Code Xhci::configure_endpoint(Slot& slot, const Trb& command) {
  if (slot.phase < SlotPhase::addressed) {
    return Code::context_state;
  }
  uint32_t drops = ~3U;
  uint32_t adds = 0;
  uint32_t entries = 1;
  std::vector<Endpoint> newcomers;
  if ((command.control & kTrbDeconfigure) == 0) {
    const uint64_t input = input_context(command);
    const auto dropped = read_context_word(input, 0);
    const auto added = read_context_word(input, 1);
    const auto context = read_context_word(input + kContextBytes, 0);
    if (!dropped || !added || !context || (*added & kSlotContext) == 0 || (*added & kControlEndpoint) != 0 ||
        (*dropped & 3) != 0) {
      return Code::parameter;
    }
    drops = *dropped;
    adds = *added & ~3U;
    entries = *context >> kEntriesShift;
    for (uint8_t id = 2; id < kContexts; ++id) {
      if ((adds >> id & 1) == 0) {
        continue;
      }
      const auto endpoint = read_endpoint(input + kContextBytes * (id + 1U), id);
      if (!endpoint) {
        return Code::parameter;
      }
      newcomers.push_back(*endpoint);
    }
  }
  for (uint8_t id = 2; id < kContexts; ++id) {
    if (((drops | adds) >> id & 1) != 0 && find_endpoint(slot, id) != nullptr) {
      drop_endpoint(slot, id);
    }
  }
  for (Endpoint& endpoint : newcomers) {
    show_endpoint(slot, endpoint);
    slot.endpoints.push_back(endpoint);
  }
  slot.phase = slot.endpoints.size() > 1 ? SlotPhase::configured : SlotPhase::addressed;
  slot.context[0] = (slot.context[0] & ~(0x1FU << kEntriesShift)) | entries << kEntriesShift;
  show_slot(slot);
  return Code::success;
}

Xhci::Code Xhci::evaluate_context(Slot& slot, const Trb& command) {
  if (slot.phase < SlotPhase::defaulted) {
    return Code::context_state;
  }
  const uint64_t input = input_context(command);
  const auto adds = read_context_word(input, 1);
  const auto latency = read_context_word(input + kContextBytes, 1);
  const auto target = read_context_word(input + kContextBytes, 2);
  const auto control = read_endpoint(input + 2 * kContextBytes, 1);
  if (!adds || !latency || !target || ((*adds & kControlEndpoint) != 0 && !control)) {
    return Code::parameter;
  }
  if ((*adds & kSlotContext) != 0) {
    constexpr uint32_t kLatency = 0xFFFF;
    constexpr uint32_t kTarget = 0x3FFU << 22;
    slot.context[1] = (slot.context[1] & ~kLatency) | (*latency & kLatency);
    slot.context[2] = (slot.context[2] & ~kTarget) | (*target & kTarget);
    show_slot(slot);
  }
  Endpoint* const endpoint = find_endpoint(slot, 1);
  if ((*adds & kControlEndpoint) != 0 && endpoint != nullptr) {
    endpoint->context[1] = (endpoint->context[1] & 0xFFFF) | (control->context[1] & 0xFFFF0000);
    show_endpoint(slot, *endpoint);
  }
  return Code::success;
}

Xhci::Code Xhci::reset_endpoint(Slot& slot, const Trb& command) {
  Endpoint* const endpoint = find_endpoint(slot, endpoint_of(command));
  if (endpoint == nullptr || endpoint->phase != EndpointPhase::halted) {
    return Code::context_state;
  }
  endpoint->phase = EndpointPhase::stopped;
  endpoint->armed = false;
  show_endpoint(slot, *endpoint);
  return Code::success;
}

// A transfer that waits is told of as stopped (4.6.9); it goes on where it was when the doorbell rings.
Xhci::Code Xhci::stop_endpoint(Slot& slot, const Trb& command) {
  Endpoint* const endpoint = find_endpoint(slot, endpoint_of(command));
  if (endpoint == nullptr || endpoint->phase != EndpointPhase::running) {
    return Code::context_state;
  }
  XhciRingState place = endpoint->ring;
  Trb block;
  if (endpoint->armed && fetch(env_.memory, place, block) == Fetched::block) {
    const uint32_t length = block.status & 0x1FFFF;
    const uint32_t left = length - std::min(length, endpoint->offset);
    const bool data = type_of(block) == TrbType::event_data;
    transfer_event(slot, *endpoint, block, place.at, Code::stopped, data ? endpoint->moved : left);
  }
  endpoint->phase = EndpointPhase::stopped;
  endpoint->armed = false;
  show_endpoint(slot, *endpoint);
  return Code::success;
}

Xhci::Code Xhci::set_dequeue(Slot& slot, const Trb& command) {
  Endpoint* const endpoint = find_endpoint(slot, endpoint_of(command));
  if (endpoint == nullptr || (endpoint->phase != EndpointPhase::stopped && endpoint->phase != EndpointPhase::error)) {
    return Code::context_state;
  }
  endpoint->ring = {command.parameter & ~(kTrbBytes - 1), (command.parameter & 1) != 0};
  endpoint->offset = endpoint->moved = 0;
  endpoint->skipping = endpoint->reported = endpoint->armed = false;
  endpoint->phase = EndpointPhase::stopped;
  show_endpoint(slot, *endpoint);
  return Code::success;
}

Xhci::Code Xhci::reset_device(Slot& slot) {
  if (slot.phase < SlotPhase::addressed) {
    return Code::context_state;
  }
  for (uint8_t id = 2; id < kContexts; ++id) {
    if (find_endpoint(slot, id) != nullptr) {
      drop_endpoint(slot, id);
    }
  }
  slot.phase = SlotPhase::defaulted;
  slot.context[0] = (slot.context[0] & ~(0x1FU << kEntriesShift)) | 1U << kEntriesShift;
  show_slot(slot);
  return Code::success;
}

}  // namespace lodge
