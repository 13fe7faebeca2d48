// Where a disk's bytes live. A backend is opened once; each virtqueue gets its own BlockQueue on its own event loop, so the
// data path takes no lock.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/io/event_loop.h"
#include "base/result.h"

namespace lodge {

struct BlockInfo {
  uint64_t size = 0;              // bytes; a multiple of 512 (an odd tail of the image is not offered)
  uint32_t logical_block = 512;   // smallest unit of I/O the guest may use
  uint32_t physical_block = 512;  // what the storage prefers
  uint32_t optimal_io = 0;        // bytes, 0 unknown
  bool read_only = false;
  bool can_discard = false;
  bool can_write_zeroes = false;
  bool write_cache = true;  // volatile until flush; false: every write is durable when it completes
  std::string description;  // for errors: "'vda' (/srv/a.img)"
};

// One operation. The owner keeps it, and the memory its iovecs point to, alive until done() is called on the queue's loop.
// The fields after `done` are the backend's.
struct BlockRequest : UringOp {
  enum class Kind : uint8_t { read, write, flush, discard, write_zeroes };
  using DoneFn = void (*)(BlockRequest& request, int error);  // error: 0 or an errno value

  Kind kind = Kind::read;
  bool may_unmap = false;  // write_zeroes only
  bool durable = false;    // writes: on stable storage before done(), whatever the backend's cache mode
  uint64_t offset = 0;     // bytes
  uint64_t length = 0;     // bytes; for read and write the sum of iov
  std::vector<iovec> iov;  // capacity is reused between requests
  DoneFn done = nullptr;

  // Backend scratch.
  class BlockQueue* queue = nullptr;
  uint64_t progress = 0;
  uint8_t stage = 0;
  std::vector<iovec> work;
  void* bounce = nullptr;
};

class BlockQueue {
 public:
  virtual ~BlockQueue() = default;
  // Starts the request; done() is always called later, never from inside submit(). Offsets were checked by the caller
  // against info().size; the backend checks again.
  virtual void submit(BlockRequest& request) = 0;
  [[nodiscard]] virtual uint32_t in_flight() const = 0;
};

class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  [[nodiscard]] virtual BlockInfo info() const = 0;  // any thread
  [[nodiscard]] virtual Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) = 0;
  // Grows or shrinks the image (size: bytes) or, with size 0, notices that it changed. Control thread.
  [[nodiscard]] virtual Result<void> resize(uint64_t size) = 0;
  // The disk was taken out of the guest and its queues are gone: nothing keeps others from the image any more. Control
  // thread.
  virtual void give_up() {}
};

}  // namespace lodge
