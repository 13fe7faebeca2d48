// RawBackend: a disk that is a plain file or a host block device, through io_uring.
//
// Opened on the control thread; each virtqueue has its RawQueue (raw_queue.h) on its own loop. Queues must be destroyed
// before the backend. Cache modes mean what they mean in libvirt.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "base/fd.h"
#include "devices/block/backend.h"
#include "devices/block/image_lock.h"

namespace lodge {

enum class CacheMode : uint8_t {
  none,          // O_DIRECT, the guest sees a write cache and flushes it
  writeback,     // host page cache, the guest sees a write cache
  writethrough,  // host page cache for reads, every write durable
  directsync,    // O_DIRECT, every write durable
  unsafe,        // host page cache, flushes ignored
};

enum class DiscardMode : uint8_t { ignore, unmap };

struct RawOptions {
  std::string id = "disk";  // the disk's name in errors: "vda"
  std::string path;         // opened unless `fd` is given; else for errors only
  Fd fd;
  bool read_only = false;
  CacheMode cache = CacheMode::writeback;
  DiscardMode discard = DiscardMode::ignore;
  // An image that another process has locked is waited for this long: that process may just be ending.
  std::chrono::milliseconds lock_patience{1000};
  bool lock = true;  // false for shareable disks, and while another process hands the image over (take_lock later)
};

class RawBackend final : public BlockBackend {
 public:
  ~RawBackend() override;
  // Errors name the disk, its path, the cause and what to do.
  [[nodiscard]] static Result<std::unique_ptr<RawBackend>> open(RawOptions options);

  [[nodiscard]] BlockInfo info() const override;
  [[nodiscard]] Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) override;
  [[nodiscard]] Result<void> resize(uint64_t size) override;
  void give_up() override;

  // For handing an image over between processes (migration with shared storage).
  [[nodiscard]] Result<void> take_lock();
  void release_lock();

  // For RawQueue.
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool read_only() const { return info_.read_only; }
  [[nodiscard]] bool durable_writes() const { return !info_.write_cache; }
  [[nodiscard]] bool ignores_flush() const { return options_.cache == CacheMode::unsafe; }
  [[nodiscard]] bool unmaps() const { return options_.discard == DiscardMode::unmap; }
  // Direct I/O: what offsets and lengths, and memory addresses, must be multiples of. 1 with the page cache.
  [[nodiscard]] uint32_t direct_offset_align() const { return offset_align_; }
  [[nodiscard]] uint32_t direct_memory_align() const { return memory_align_; }

 private:
  explicit RawBackend(RawOptions options) : options_(std::move(options)) {}
  [[nodiscard]] bool direct() const { return options_.cache == CacheMode::none || options_.cache == CacheMode::directsync; }
  [[nodiscard]] ImageUse image_use() const { return info_.read_only ? ImageUse::shared : ImageUse::exclusive; }
  [[nodiscard]] Result<void> open_fd();
  [[nodiscard]] Result<void> set_up();
  [[nodiscard]] Result<void> find_alignment();
  [[nodiscard]] Result<uint64_t> read_size() const;
  [[nodiscard]] Result<void> adopt_size(uint64_t size);

  RawOptions options_;
  Fd fd_;
  bool opened_here_ = false;
  bool block_device_ = false;
  BlockInfo info_;
  std::atomic<uint64_t> size_{0};
  uint32_t offset_align_ = 1;
  uint32_t memory_align_ = 1;
};

// RawBackend::open in the form that a table of image formats wants.
[[nodiscard]] Result<std::unique_ptr<BlockBackend>> open_raw(RawOptions options);

}  // namespace lodge
