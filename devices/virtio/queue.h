// Virtqueue: one queue of a virtio device, split (virtio 1.2 section 2.7) or packed (2.8), with indirect descriptors,
// event suppression by flags or event index, and chains that complete themselves.
//
// Owned by the transport, used on one event loop only. Every value in guest memory is hostile: indices are bounded, chains
// limited to the queue size, and a ring that breaks the rules marks the queue broken (the device then NEEDS_RESET).
// No allocation happens per request: chain storage is reused.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/io/event_loop.h"
#include "base/log.h"
#include "base/memory/guest_memory.h"
#include "devices/virtio/queue_state.h"

namespace lodge {

class Virtqueue;

// Storage of one chain, owned by its queue and reused.
struct ChainSlot {
  std::vector<iovec> readable;         // what the driver gave to read, in order
  std::vector<iovec> writable;         // what the device may fill, in order
  std::vector<ChainSegment> segments;  // both parts as the driver described them
  uint64_t readable_bytes = 0;
  uint64_t writable_bytes = 0;
  uint16_t head = 0;         // descriptor index (split) or buffer id (packed)
  uint16_t descriptors = 0;  // ring slots it takes (packed)
};

// One request of the driver. Move-only; when destroyed it goes to the used ring with written() bytes.
class Chain {
 public:
  Chain() = default;
  Chain(Chain&& other) noexcept
      : queue_(std::exchange(other.queue_, nullptr)), slot_(std::exchange(other.slot_, nullptr)), written_(other.written_) {}
  Chain& operator=(Chain&& other) noexcept;
  ~Chain() { finish(); }

  [[nodiscard]] bool active() const { return slot_ != nullptr; }
  [[nodiscard]] Virtqueue& queue() const { return *queue_; }
  // Total lengths of the driver's two parts. Capped at 4 GiB - 1 each by pop().
  [[nodiscard]] uint64_t readable_bytes() const { return slot_->readable_bytes; }
  [[nodiscard]] uint64_t writable_bytes() const { return slot_->writable_bytes; }
  // Copies [offset, offset + to.size()) of the readable part; fewer bytes when the chain is shorter. Returns the count.
  [[nodiscard]] size_t read(uint64_t offset, std::span<std::byte> to) const;
  // Copies into the writable part at `offset`; fewer bytes when it is shorter. Returns the count. Does not set written().
  size_t write(uint64_t offset, std::span<const std::byte> from) const;
  // The buffers as the driver described them, readable ones first; all lie in guest RAM.
  [[nodiscard]] std::span<const ChainSegment> segments() const { return slot_->segments; }
  // The iovecs of a sub-range of a part, for the kernel. Appends to `out`; returns the bytes covered.
  uint64_t readable_iov(uint64_t offset, uint64_t length, std::vector<iovec>& out) const;
  uint64_t writable_iov(uint64_t offset, uint64_t length, std::vector<iovec>& out) const;
  // After the kernel wrote into the writable part: marks the pages for migration.
  void mark_written(uint64_t offset, uint64_t length) const;
  // The used length: bytes written from the start of the writable part.
  void set_written(uint64_t bytes) { written_ = static_cast<uint32_t>(bytes); }
  // Returns it to the driver now.
  void finish();
  // Puts it back unprocessed: the next pop() of this queue (also after save and restore) yields it again.
  void give_back();

 private:
  friend class Virtqueue;
  Chain(Virtqueue* queue, ChainSlot* slot) : queue_(queue), slot_(slot) {}
  Virtqueue* queue_ = nullptr;
  ChainSlot* slot_ = nullptr;
  uint32_t written_ = 0;
};

class Virtqueue {
 public:
  struct Options {
    std::string name;  // "disk0 queue 1", for warnings
    uint16_t index = 0;
    bool event_index = false;
    bool indirect = false;
    bool packed = false;
    bool in_order = false;
  };
  // Raises the queue's interrupt; called on the loop.
  using Interrupt = std::function<void()>;

  // `state` is the transport's registers for a fresh queue, or the saved state. Error: the rings are not in guest RAM.
  [[nodiscard]] static Result<std::unique_ptr<Virtqueue>> create(const Options& options, const QueueState& state,
                                                                 GuestMemory& memory, EventLoop& loop, Interrupt interrupt);
  virtual ~Virtqueue();

  // The most buffers in one chain, whatever the queue's size.
  static constexpr size_t kMaxSegments = 1024;

  [[nodiscard]] uint16_t index() const { return options_.index; }
  [[nodiscard]] uint16_t size() const { return state_.size; }
  [[nodiscard]] EventLoop& loop() const { return loop_; }
  [[nodiscard]] GuestMemory& memory() const { return memory_; }
  [[nodiscard]] const std::string& name() const { return options_.name; }

  // The next request, or nothing when the ring is empty or broken.
  [[nodiscard]] std::optional<Chain> pop();
  // True when pop() would likely yield one.
  [[nodiscard]] bool has_work();
  // Kick suppression. enable_kicks() returns true when work arrived meanwhile and must be taken now.
  void disable_kicks();
  [[nodiscard]] bool enable_kicks();
  // Pops all there is through `fn(Chain)`, with kicks suppressed meanwhile. fn returns false to stop early.
  template <class Fn>
  void process(Fn&& fn) {
    do {
      disable_kicks();
      while (auto chain = pop()) {
        if (!fn(std::move(*chain))) {
          return;
        }
      }
    } while (enable_kicks());
  }
  // Publishes finished chains and interrupts the driver if it wants that. Runs by itself after each batch.
  void flush();

  // The ring broke the rules; nothing more is taken until reset. `on_broken` (transport) is told once.
  [[nodiscard]] bool broken() const { return broken_; }
  void set_on_broken(std::function<void()> fn) { on_broken_ = std::move(fn); }
  // Chains out with the device.
  [[nodiscard]] uint32_t in_flight() const { return in_flight_; }
  // Where the kernel (vhost) has got to, when it hands the ring back.
  void set_position(uint16_t next_avail, uint16_t next_used) {
    state_.next_avail = next_avail;
    state_.next_used = next_used;
  }
  // The state to save; only with no chain out.
  [[nodiscard]] QueueState state() const;
  // The kernel (vhost) served this split ring and took all before available index `next`, with nothing left in flight.
  void set_next(uint16_t next) { state_.next_avail = state_.next_used = next; }

 protected:
  Virtqueue(Options options, const QueueState& state, GuestMemory& memory, EventLoop& loop, Interrupt interrupt);

  // What the two layouts do differently.
  enum class Take : uint8_t { empty, taken, bad };
  virtual Take take_next(ChainSlot& slot) = 0;
  virtual void put_used(const ChainSlot& slot, uint32_t written) = 0;
  // Makes put_used() visible to the driver; returns whether it wants an interrupt.
  [[nodiscard]] virtual bool publish() = 0;
  virtual void set_kicks(bool wanted) = 0;
  [[nodiscard]] virtual bool ring_has_work() = 0;

  // Adds one buffer to a chain; false (and the queue is broken) when it is not RAM, out of order or one too many.
  [[nodiscard]] bool add_segment(ChainSlot& slot, const ChainSegment& segment);
  void mark_broken(std::string_view why);

  Options options_;
  QueueState state_;  // next_avail, next_used and the wraps move with the ring
  GuestMemory& memory_;
  EventLoop& loop_;

 private:
  friend class Chain;
  void complete(ChainSlot* slot, uint32_t written);
  void give_back(ChainSlot* slot);
  [[nodiscard]] ChainSlot* acquire_slot();

  Interrupt interrupt_;
  std::function<void()> on_broken_;
  std::vector<std::unique_ptr<ChainSlot>> slots_;
  std::vector<ChainSlot*> free_slots_;
  uint32_t in_flight_ = 0;
  bool broken_ = false;
  bool flush_scheduled_ = false;
  GuestWarnings warnings_;
};

}  // namespace lodge
