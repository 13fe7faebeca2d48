// A disk that is a qcow2 image, alone or in front of a backing image.
//
// open() on the control thread; each virtqueue has its Queue on its own loop. What the mapping in memory answers, a queue
// does itself, with the file's and the backing image's own queues; the rest goes to the home loop (image.h).
#pragma once

#include <memory>
#include <string>

#include "base/mutex.h"
#include "devices/block/backend.h"
#include "devices/block/qcow2/image.h"

namespace lodge::qcow2 {

class Queue;

struct BackendOptions {
  std::unique_ptr<BlockBackend> file;     // the image; it grows as it is written to
  std::unique_ptr<BlockBackend> backing;  // read only; null: none
  uint64_t file_bytes = 0;                // how long the image is now; UINT64_MAX: it does not read as zeros behind its end
  bool unmap = false;
  bool ignore_backing_name = false;  // the image may name a backing file though none is given
};

class Backend final : public BlockBackend {
 public:
  // Errors name the image, the fault and what to do: no qcow2, damaged, features that are not known, a backing file that was
  // not given, an image that was not closed well and needs `qemu-img check`.
  [[nodiscard]] static Result<std::unique_ptr<Backend>> open(BackendOptions options);
  // Writes what is only in memory. Its queues are gone.
  ~Backend() override;

  [[nodiscard]] BlockInfo info() const override;
  [[nodiscard]] Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) override;
  [[nodiscard]] Result<void> resize(uint64_t size) override;
  void give_up() override;

  // info()'s, for each request: without its text.
  [[nodiscard]] uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool read_only() const { return info_.read_only; }

 private:
  friend class Queue;
  Backend(BackendOptions options, std::unique_ptr<Image> image, BlockInfo info);
  // The queue whose loop is home; takes the role if nobody has it.
  [[nodiscard]] Queue* home_for(Queue& queue);
  void leave(Queue& queue);
  [[nodiscard]] int grow(uint64_t size);
  void finish();

  BackendOptions options_;
  std::unique_ptr<Image> image_;
  BlockInfo info_;
  std::atomic<uint64_t> size_;
  Mutex mutex_;
  Queue* home_ GUARDED_BY(mutex_) = nullptr;
  bool finished_ = false;
};

}  // namespace lodge::qcow2
