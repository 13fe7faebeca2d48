// RawQueue: the requests of one virtqueue on a raw image. Everything on its loop's thread; no lock, and no allocation once
// the requests' vectors have grown, except for buffers of unaligned direct I/O.
#pragma once

#include <memory>
#include <vector>

#include "devices/block/backend.h"

namespace lodge {

class RawBackend;

class RawQueue final : public BlockQueue {
 public:
  RawQueue(const RawBackend& backend, EventLoop& loop);
  ~RawQueue() override;

  void submit(BlockRequest& request) override;
  [[nodiscard]] uint32_t in_flight() const override { return in_flight_; }

 private:
  // What the operation under way is, in BlockRequest::stage.
  enum Stage : uint8_t { kDirect, kBounced, kPunch, kZeroRange, kZeroWrite, kSync };

  void start(BlockRequest& request);
  void step_transfer(BlockRequest& request);
  void step_bounce(BlockRequest& request);
  void step_zero_write(BlockRequest& request);
  void start_zeroes(BlockRequest& request, Stage stage);
  void sync(BlockRequest& request);
  void completed(BlockRequest& request, int32_t result);
  void transferred(BlockRequest& request, uint64_t bytes);
  void allocated(BlockRequest& request, int32_t result);
  void finish(BlockRequest& request, int error);
  void finish_later(BlockRequest& request, int error);
  [[nodiscard]] bool aligned(const BlockRequest& request) const;
  [[nodiscard]] bool durable(const BlockRequest& request) const;
  [[nodiscard]] void* take_bounce();
  void return_bounce(void* buffer);

  const RawBackend& backend_;
  EventLoop& loop_;
  Uring::File file_;
  uint32_t in_flight_ = 0;
  std::vector<void*> bounces_;  // free ones
  bool can_punch_ = true;
  bool can_zero_range_ = true;
};

}  // namespace lodge
