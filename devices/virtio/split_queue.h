// The split ring (virtio 1.2 section 2.7): descriptor table, available ring (driver area), used ring (device area).
#pragma once

#include "devices/virtio/queue.h"

namespace lodge {

class SplitQueue final : public Virtqueue {
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

  Take take_head(ChainSlot& slot, uint16_t head);
  [[nodiscard]] bool follow(ChainSlot& slot, const GuestView& table, uint32_t entries, uint16_t first, bool may_indirect);

  GuestView descriptors_;
  GuestView available_;
  GuestView used_;
  uint16_t published_used_ = 0;
  bool published_once_ = false;
};

}  // namespace lodge
