#include "devices/virtio/packed_queue.h"

#include <atomic>

namespace lodge {
namespace {

struct Descriptor {
  uint64_t at;
  uint32_t length;
  uint16_t id;
  uint16_t flags;
};
static_assert(sizeof(Descriptor) == 16);

constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;
constexpr uint16_t kAvailable = 1U << 7;
constexpr uint16_t kUsed = 1U << 15;
constexpr uint64_t kFlagsAt = 14;  // in a descriptor
constexpr uint64_t kEventOffsetAt = 0;
constexpr uint64_t kEventFlagsAt = 2;
constexpr uint16_t kEventEnable = 0;
constexpr uint16_t kEventDisable = 1;
constexpr uint16_t kEventDescriptor = 2;

}  // namespace

Result<std::unique_ptr<Virtqueue>> PackedQueue::create(const Options& options, const QueueState& state, GuestMemory& memory,
                                                       EventLoop& loop, Interrupt interrupt) {
  std::unique_ptr<PackedQueue> queue(new PackedQueue(options, state, memory, loop, std::move(interrupt)));
  if (!is_aligned(state.descriptors, 16) || !is_aligned(state.driver, 4) || !is_aligned(state.device, 4)) {
    return fail("{}: ring addresses are not aligned", options.name);
  }
  if (state.next_avail >= state.size || state.next_used >= state.size) {
    return fail("{}: ring position is outside of the ring", options.name);
  }
  queue->ring_ = TRY_CONTEXT(memory.view(Gpa{state.descriptors}, uint64_t{state.size} * 16, Access::write), options.name);
  queue->driver_event_ = TRY_CONTEXT(memory.view(Gpa{state.driver}, 4, Access::read), options.name);
  queue->device_event_ = TRY_CONTEXT(memory.view(Gpa{state.device}, 4, Access::write), options.name);
  return queue;
}

bool PackedQueue::available(uint16_t flags, bool wrap) const {
  return ((flags & kAvailable) != 0) == wrap && ((flags & kUsed) != 0) != wrap;
}

bool PackedQueue::ring_has_work() {
  return available(ring_.load_acquire16(uint64_t{state_.next_avail} * 16 + kFlagsAt), state_.avail_wrap);
}

Virtqueue::Take PackedQueue::take_next(ChainSlot& slot) {
  if (!ring_has_work()) {
    return Take::empty;
  }
  uint16_t position = state_.next_avail;
  bool wrap = state_.avail_wrap;
  for (uint32_t taken = 1; taken <= state_.size; ++taken) {
    const auto descriptor = ring_.read<Descriptor>(uint64_t{position} * 16);
    if (++position == state_.size) {
      position = 0;
      wrap = !wrap;
    }
    if ((descriptor.flags & kIndirect) != 0) {
      if (!options_.indirect || taken != 1 || (descriptor.flags & kNext) != 0) {
        mark_broken("an indirect descriptor is not allowed here");
        return Take::bad;
      }
      if (!take_indirect(slot, Gpa{descriptor.at}, descriptor.length)) {
        return Take::bad;
      }
    } else if (!add_segment(slot, ChainSegment{descriptor.at, descriptor.length, (descriptor.flags & kWrite) != 0})) {
      return Take::bad;
    }
    if ((descriptor.flags & kNext) == 0) {
      slot.head = descriptor.id;  // the last descriptor carries the buffer id
      slot.descriptors = static_cast<uint16_t>(taken);
      state_.next_avail = position;
      state_.avail_wrap = wrap;
      return Take::taken;
    }
  }
  mark_broken("a descriptor chain is longer than the ring");
  return Take::bad;
}

bool PackedQueue::take_indirect(ChainSlot& slot, Gpa table, uint32_t length) {
  if (length == 0 || length % sizeof(Descriptor) != 0 || length > kMaxSegments * sizeof(Descriptor)) {
    mark_broken("an indirect table is malformed");
    return false;
  }
  const auto view = memory_.view(table, length, Access::read);
  if (!view) {
    mark_broken("an indirect table is outside of RAM");
    return false;
  }
  for (uint32_t offset = 0; offset < length; offset += sizeof(Descriptor)) {
    const auto descriptor = view->read<Descriptor>(offset);
    if (!add_segment(slot, ChainSegment{descriptor.at, descriptor.length, (descriptor.flags & kWrite) != 0})) {
      return false;
    }
  }
  return true;
}

void PackedQueue::put_used(const ChainSlot& slot, uint32_t written) {
  const uint64_t at = uint64_t{state_.next_used} * 16;
  ring_.write(at + 8, written);
  ring_.write(at + 12, slot.head);
  uint16_t flags = state_.used_wrap ? kAvailable | kUsed : 0;
  if (written != 0) {
    flags |= kWrite;
  }
  ring_.store_release16(at + kFlagsAt, flags);
  unpublished_ += slot.descriptors;
  uint32_t next = uint32_t{state_.next_used} + slot.descriptors;
  if (next >= state_.size) {
    next -= state_.size;
    state_.used_wrap = !state_.used_wrap;
  }
  state_.next_used = static_cast<uint16_t>(next % state_.size);
}

bool PackedQueue::publish() {
  const uint32_t moved = std::exchange(unpublished_, 0);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // used flags must be visible before we read the driver's wish
  const uint16_t flags = driver_event_.load_acquire16(kEventFlagsAt) & 3;
  if (flags == kEventDisable) {
    return false;
  }
  if (flags != kEventDescriptor || !options_.event_index) {
    return true;
  }
  // Interrupt when the wanted position lies among the slots just used.
  const uint16_t wish = driver_event_.load_acquire16(kEventOffsetAt);
  const uint32_t offset = wish & 0x7FFFU;
  const bool wrap = (wish & 0x8000U) != 0;
  const uint32_t end = state_.next_used + (wrap == state_.used_wrap ? 0U : uint32_t{state_.size});
  const uint32_t behind = end - offset - 1;  // wraps to a huge value when the position is not reached yet
  return behind < moved;
}

void PackedQueue::set_kicks(bool wanted) {
  device_event_.store_release16(kEventFlagsAt, wanted ? kEventEnable : kEventDisable);
}

}  // namespace lodge
