#include "devices/virtio/queue.h"

#include <algorithm>

#include "devices/virtio/packed_queue.h"
#include "devices/virtio/split_queue.h"

namespace lodge {
namespace {

// Appends the part [offset, offset + length) of `from` to `out`; returns the bytes covered.
uint64_t slice(const std::vector<iovec>& from, uint64_t offset, uint64_t length, std::vector<iovec>& out) {
  uint64_t covered = 0;
  for (const iovec& part : from) {
    if (length == 0) {
      break;
    }
    if (offset >= part.iov_len) {
      offset -= part.iov_len;
      continue;
    }
    const uint64_t take = std::min<uint64_t>(part.iov_len - offset, length);
    out.push_back(iovec{static_cast<std::byte*>(part.iov_base) + offset, take});
    covered += take;
    length -= take;
    offset = 0;
  }
  return covered;
}

}  // namespace

Chain& Chain::operator=(Chain&& other) noexcept {
  if (this != &other) {
    finish();
    queue_ = std::exchange(other.queue_, nullptr);
    slot_ = std::exchange(other.slot_, nullptr);
    written_ = other.written_;
  }
  return *this;
}

void Chain::finish() {
  if (ChainSlot* slot = std::exchange(slot_, nullptr)) {
    queue_->complete(slot, written_);
  }
}

void Chain::give_back() {
  if (ChainSlot* slot = std::exchange(slot_, nullptr)) {
    queue_->give_back(slot);
  }
}

size_t Chain::read(uint64_t offset, std::span<std::byte> to) const {
  size_t done = 0;
  for (const ChainSegment& segment : slot_->segments) {
    if (segment.writable || done == to.size()) {
      break;
    }
    if (offset >= segment.length) {
      offset -= segment.length;
      continue;
    }
    const size_t take = std::min<size_t>(segment.length - offset, to.size() - done);
    if (!queue_->memory().read_bytes(Gpa{segment.at + offset}, to.subspan(done, take))) {
      break;
    }
    done += take;
    offset = 0;
  }
  return done;
}

size_t Chain::write(uint64_t offset, std::span<const std::byte> from) const {
  size_t done = 0;
  for (const ChainSegment& segment : slot_->segments) {
    if (done == from.size()) {
      break;
    }
    if (!segment.writable) {
      continue;
    }
    if (offset >= segment.length) {
      offset -= segment.length;
      continue;
    }
    const size_t take = std::min<size_t>(segment.length - offset, from.size() - done);
    if (!queue_->memory().write_bytes(Gpa{segment.at + offset}, from.subspan(done, take))) {
      break;
    }
    done += take;
    offset = 0;
  }
  return done;
}

uint64_t Chain::readable_iov(uint64_t offset, uint64_t length, std::vector<iovec>& out) const {
  return slice(slot_->readable, offset, length, out);
}

uint64_t Chain::writable_iov(uint64_t offset, uint64_t length, std::vector<iovec>& out) const {
  return slice(slot_->writable, offset, length, out);
}

void Chain::mark_written(uint64_t offset, uint64_t length) const {
  for (const ChainSegment& segment : slot_->segments) {
    if (length == 0) {
      break;
    }
    if (!segment.writable) {
      continue;
    }
    if (offset >= segment.length) {
      offset -= segment.length;
      continue;
    }
    const uint64_t take = std::min<uint64_t>(segment.length - offset, length);
    queue_->memory().mark_dirty(Gpa{segment.at + offset}, take);
    length -= take;
    offset = 0;
  }
}

Result<std::unique_ptr<Virtqueue>> Virtqueue::create(const Options& options, const QueueState& state, GuestMemory& memory,
                                                     EventLoop& loop, Interrupt interrupt) {
  if (state.size == 0 || state.size > 32768 || (!options.packed && !std::has_single_bit(state.size))) {
    return fail("{}: queue size {} is not allowed", options.name, state.size);
  }
  if (options.packed) {
    return PackedQueue::create(options, state, memory, loop, std::move(interrupt));
  }
  return SplitQueue::create(options, state, memory, loop, std::move(interrupt));
}

Virtqueue::Virtqueue(Options options, const QueueState& state, GuestMemory& memory, EventLoop& loop, Interrupt interrupt)
    : options_(std::move(options)), state_(state), memory_(memory), loop_(loop), interrupt_(std::move(interrupt)) {}

Virtqueue::~Virtqueue() {
  if (flush_scheduled_) {
    loop_.forget(this);
  }
}

ChainSlot* Virtqueue::acquire_slot() {
  if (free_slots_.empty()) {
    slots_.push_back(std::make_unique<ChainSlot>());
    free_slots_.push_back(slots_.back().get());
  }
  ChainSlot* slot = free_slots_.back();
  free_slots_.pop_back();
  slot->readable.clear();
  slot->writable.clear();
  slot->segments.clear();
  slot->readable_bytes = 0;
  slot->writable_bytes = 0;
  slot->descriptors = 0;
  return slot;
}

std::optional<Chain> Virtqueue::pop() {
  if (broken_) {
    return std::nullopt;
  }
  ChainSlot* slot = acquire_slot();
  Take outcome = Take::empty;
  if (!state_.pending.empty()) {
    const PendingChain pending = std::move(state_.pending.front());
    state_.pending.erase(state_.pending.begin());
    slot->head = pending.head;
    slot->descriptors = pending.descriptors;
    outcome = std::ranges::all_of(pending.segments, [&](const ChainSegment& segment) { return add_segment(*slot, segment); })
                  ? Take::taken
                  : Take::bad;
  } else if (in_flight_ < state_.size) {  // a driver cannot have more outstanding than the ring holds
    outcome = take_next(*slot);
  }
  if (outcome != Take::taken) {
    free_slots_.push_back(slot);
    return std::nullopt;
  }
  ++in_flight_;
  return Chain(this, slot);
}

bool Virtqueue::has_work() {
  // As pop(): with the whole ring outstanding, what a lying index announces is not work, or callers would ask for ever.
  return !broken_ && (!state_.pending.empty() || (in_flight_ < state_.size && ring_has_work()));
}

void Virtqueue::disable_kicks() { set_kicks(false); }

bool Virtqueue::enable_kicks() {
  set_kicks(true);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // our request for kicks must be visible before we look again
  return has_work();
}

bool Virtqueue::add_segment(ChainSlot& slot, const ChainSegment& segment) {
  if (slot.segments.size() >= kMaxSegments) {
    mark_broken("a request has too many buffers");
    return false;
  }
  if (!segment.writable && slot.writable_bytes != 0) {
    mark_broken("a request has a readable buffer after a writable one");
    return false;
  }
  if (segment.length == 0) {
    return true;
  }
  const iovec window = memory_.iovec_for(Gpa{segment.at}, segment.length);
  if (window.iov_base == nullptr) {
    mark_broken("a request has a buffer outside of RAM");
    return false;
  }
  uint64_t& total = segment.writable ? slot.writable_bytes : slot.readable_bytes;
  total += segment.length;
  if (total > UINT32_MAX) {
    mark_broken("a request is larger than 4 GiB");
    return false;
  }
  (segment.writable ? slot.writable : slot.readable).push_back(window);
  slot.segments.push_back(segment);
  return true;
}

void Virtqueue::mark_broken(std::string_view why) {
  if (broken_) {
    return;
  }
  broken_ = true;
  guest_warning(warnings_, options_.name, "{}; the queue is stopped until the driver resets the device", why);
  if (on_broken_) {
    on_broken_();
  }
}

void Virtqueue::complete(ChainSlot* slot, uint32_t written) {
  --in_flight_;
  free_slots_.push_back(slot);
  if (broken_) {
    return;
  }
  put_used(*slot, written);
  if (!flush_scheduled_) {
    flush_scheduled_ = true;
    loop_.defer(this, [this] { flush(); });
  }
}

void Virtqueue::give_back(ChainSlot* slot) {
  --in_flight_;
  free_slots_.push_back(slot);
  state_.pending.push_back(PendingChain{slot->head, slot->descriptors, slot->segments});
}

void Virtqueue::flush() {
  if (flush_scheduled_) {
    flush_scheduled_ = false;
    loop_.forget(this);
    if (publish()) {
      interrupt_();
    }
  }
}

QueueState Virtqueue::state() const { return state_; }

}  // namespace lodge
