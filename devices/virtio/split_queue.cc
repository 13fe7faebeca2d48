#include "devices/virtio/split_queue.h"

#include <atomic>

namespace lodge {
namespace {

struct Descriptor {
  uint64_t at;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(Descriptor) == 16);

struct UsedElement {
  uint32_t head;
  uint32_t written;
};

constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;
constexpr uint64_t kFlagsAt = 0;  // of both rings
constexpr uint64_t kIndexAt = 2;
constexpr uint64_t kRingAt = 4;
constexpr uint16_t kNoInterrupt = 1;
constexpr uint16_t kNoNotify = 1;

}  // namespace

Result<std::unique_ptr<Virtqueue>> SplitQueue::create(const Options& options, const QueueState& state, GuestMemory& memory,
                                                      EventLoop& loop, Interrupt interrupt) {
  std::unique_ptr<SplitQueue> queue(new SplitQueue(options, state, memory, loop, std::move(interrupt)));
  const uint64_t size = state.size;
  if (!is_aligned(state.descriptors, 16) || !is_aligned(state.driver, 2) || !is_aligned(state.device, 4)) {
    return fail("{}: ring addresses are not aligned", options.name);
  }
  // With event index, each ring has one more 16-bit word behind it.
  queue->descriptors_ = TRY_CONTEXT(memory.view(Gpa{state.descriptors}, size * 16, Access::read), options.name);
  queue->available_ = TRY_CONTEXT(memory.view(Gpa{state.driver}, 6 + size * 2, Access::read), options.name);
  queue->used_ = TRY_CONTEXT(memory.view(Gpa{state.device}, 6 + size * 8, Access::write), options.name);
  queue->published_used_ = state.next_used;
  return queue;
}

bool SplitQueue::ring_has_work() { return available_.load_acquire16(kIndexAt) != state_.next_avail; }

Virtqueue::Take SplitQueue::take_next(ChainSlot& slot) {
  const auto waiting = static_cast<uint16_t>(available_.load_acquire16(kIndexAt) - state_.next_avail);
  if (waiting == 0) {
    return Take::empty;
  }
  if (waiting > state_.size) {
    mark_broken("the available index runs ahead of the ring");
    return Take::bad;
  }
  const uint64_t entry = state_.next_avail & (state_.size - 1U);
  const auto head = available_.read<uint16_t>(kRingAt + entry * 2);
  ++state_.next_avail;
  return take_head(slot, head);
}

Virtqueue::Take SplitQueue::take_head(ChainSlot& slot, uint16_t head) {
  slot.head = head;
  slot.descriptors = 1;
  return follow(slot, descriptors_, state_.size, head, options_.indirect) ? Take::taken : Take::bad;
}

bool SplitQueue::follow(ChainSlot& slot, const GuestView& table, uint32_t entries, uint16_t first, bool may_indirect) {
  uint32_t index = first;
  for (uint32_t steps = 0; steps < entries; ++steps) {
    if (index >= entries) {
      mark_broken("a descriptor index is outside of its table");
      return false;
    }
    const auto descriptor = table.read<Descriptor>(uint64_t{index} * sizeof(Descriptor));
    if ((descriptor.flags & kIndirect) != 0) {
      if (!may_indirect || (descriptor.flags & kNext) != 0 || descriptor.length % sizeof(Descriptor) != 0 ||
          descriptor.length == 0 || descriptor.length > 65536 * sizeof(Descriptor)) {
        mark_broken("an indirect descriptor is not allowed here or malformed");
        return false;
      }
      const auto inner = memory_.view(Gpa{descriptor.at}, descriptor.length, Access::read);
      if (!inner) {
        mark_broken("an indirect table is outside of RAM");
        return false;
      }
      return follow(slot, *inner, descriptor.length / sizeof(Descriptor), 0, false);
    }
    if (!add_segment(slot, ChainSegment{descriptor.at, descriptor.length, (descriptor.flags & kWrite) != 0})) {
      return false;
    }
    if ((descriptor.flags & kNext) == 0) {
      return true;
    }
    index = descriptor.next;
  }
  mark_broken("a descriptor chain has a loop");
  return false;
}

void SplitQueue::put_used(const ChainSlot& slot, uint32_t written) {
  const uint64_t entry = state_.next_used & (state_.size - 1U);
  used_.write(kRingAt + entry * sizeof(UsedElement), UsedElement{slot.head, written});
  ++state_.next_used;
}

bool SplitQueue::publish() {
  const uint16_t old = published_used_;
  const uint16_t now = state_.next_used;
  used_.store_release16(kIndexAt, now);
  published_used_ = now;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the index must be visible before we read the driver's wish
  if (!options_.event_index) {
    return (available_.load_acquire16(kFlagsAt) & kNoInterrupt) == 0;
  }
  const uint16_t event = available_.load_acquire16(kRingAt + uint64_t{state_.size} * 2);
  const bool first = !std::exchange(published_once_, true);
  return first || static_cast<uint16_t>(now - event - 1) < static_cast<uint16_t>(now - old);
}

void SplitQueue::set_kicks(bool wanted) {
  if (options_.event_index) {
    // Kicks come when the driver passes this index; while it is old, none do.
    if (wanted) {
      used_.store_release16(kRingAt + uint64_t{state_.size} * 8, state_.next_avail);
    }
    return;
  }
  used_.store_release16(kFlagsAt, wanted ? 0 : kNoNotify);
}

}  // namespace lodge
