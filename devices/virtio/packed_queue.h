// The packed ring (virtio 1.2 section 2.8): one descriptor ring, and an event suppression area for each side.
#pragma once

#include "devices/virtio/queue.h"

namespace lodge {

class PackedQueue final : public Virtqueue {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Virtqueue>> create(const Options& options, const QueueState& state,
                                                                 GuestMemory& memory, EventLoop& loop, Interrupt interrupt);

 private:
  using Virtqueue::Virtqueue;
  Take take_next(ChainSlot& slot) override;
  void put_used(const ChainSlot& slot, uint32_t written) override;
  bool publish() override;
  void set_kicks(bool wanted) override;
  bool ring_has_work() override;

  [[nodiscard]] bool available(uint16_t flags, bool wrap) const;
  [[nodiscard]] bool take_indirect(ChainSlot& slot, Gpa table, uint32_t length);

  GuestView ring_;
  GuestView driver_event_;
  GuestView device_event_;
  uint32_t unpublished_ = 0;  // ring slots used since the last publish()
};

}  // namespace lodge
