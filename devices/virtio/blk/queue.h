// BlkQueue: the requests of one virtqueue of a virtio disk. Only on the queue's loop, but for counters().
//
// Every request that was taken ends in exactly one way: its status byte is written and the chain finished, or, when the
// error policy says stop, it is parked and given back to the ring when the queue is stopped, to be taken again.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "devices/block/counters.h"
#include "devices/virtio/blk/device.h"

namespace lodge {

// Ranges of one discard or write-zeroes request.
inline constexpr uint32_t kMaxBlkSegments = 16;

class BlkQueue {
 public:
  explicit BlkQueue(VirtioBlk& device, uint16_t size);
  ~BlkQueue();
  BlkQueue(const BlkQueue&) = delete;
  BlkQueue& operator=(const BlkQueue&) = delete;

  [[nodiscard]] Result<void> start(Virtqueue& queue);
  void kick(Virtqueue& queue);
  void stop(VirtioDevice::Done done);
  [[nodiscard]] const BlockCounters& counters() const { return counters_; }

 private:
  struct Range {
    uint64_t offset;
    uint64_t length;
    bool unmap;
  };
  struct Slot : BlockRequest {
    Chain chain;
    BlkQueue* owner = nullptr;
    uint64_t sequence = 0;  // order of arrival
    std::chrono::steady_clock::time_point began;
    std::array<Range, kMaxBlkSegments> ranges{};
    uint32_t range_count = 0;
    uint32_t next_range = 0;
    uint64_t total_bytes = 0;
  };

  bool take(Chain chain);
  void begin(Slot& slot, uint32_t type, uint64_t sector);
  void begin_transfer(Slot& slot, BlockRequest::Kind kind, uint64_t sector);
  void begin_ranges(Slot& slot, BlockRequest::Kind kind);
  void submit_next_range(Slot& slot);
  void answer_id(Slot& slot);
  void submit(Slot& slot);
  void done(Slot& slot, int error);
  void failed(Slot& slot, int error);
  void end(Slot& slot, uint8_t status);
  void refuse(Slot& slot, std::string_view why);
  void finish_stop();

  VirtioBlk& device_;
  std::unique_ptr<BlockQueue> backend_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> free_;
  std::vector<Slot*> parked_;
  uint64_t next_sequence_ = 0;
  uint32_t in_flight_ = 0;  // with the backend
  bool running_ = false;
  bool halted_ = false;  // an error stopped the disk: nothing is taken until it is stopped and started
  VirtioDevice::Done on_stopped_;
  BlockCounters counters_;
};

}  // namespace lodge
