// Guest RAM: the only code that holds pointers into it. Everything else asks for copies, checked views or iovecs that are
// handed to the kernel.
//
// Guest RAM changes under us at any moment (vCPUs, vhost, io_uring), so every access here is one copy of the bytes and
// nothing is read twice. All functions may be called from any thread; the map of regions is fixed after creation.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace lodge {

enum class Access : uint8_t { read, write };

enum class MemoryBacking : uint8_t {
  anonymous,  // private pages; transparent huge pages and KSM possible
  memfd,      // shared with another process (vhost-user, virtiofs, in-place upgrade)
  hugetlb,    // a memfd of huge pages
};

struct MemoryOptions {
  MemoryBacking backing = MemoryBacking::anonymous;
  uint64_t hugepage_size = 2 * kMiB;  // hugetlb only
  bool transparent_hugepages = true;  // anonymous only
  bool prealloc = false;              // touch every page before the guest starts
  bool mergeable = false;             // madvise(MADV_MERGEABLE)
};

// One stretch of guest RAM; [base, base + size) is backed by host memory at `host`.
struct MemoryRegion {
  Gpa base;
  uint64_t size = 0;
  std::byte* host = nullptr;  // for KVM slots, vhost tables and migration only
  int fd = -1;                // the file behind it, or -1 when private
  uint64_t fd_offset = 0;
};

// A contiguous checked window of guest RAM. Valid as long as the GuestMemory it came from.
class GuestView {
 public:
  GuestView() = default;
  [[nodiscard]] uint64_t size() const { return size_; }
  // One copy each; the range must lie inside the view (our own bug otherwise).
  void copy_out(uint64_t offset, std::span<std::byte> to) const;
  void copy_in(uint64_t offset, std::span<const std::byte> from) const;
  // For readv/writev/io_uring. The caller marks what the kernel wrote: GuestMemory::mark_dirty.
  [[nodiscard]] iovec for_kernel() const { return iovec{host_, size_}; }
  // Ring indices: a naturally aligned 16-bit load or store with acquire/release order. `offset` must be even.
  [[nodiscard]] uint16_t load_acquire16(uint64_t offset) const;
  void store_release16(uint64_t offset, uint16_t value) const;

  template <GuestPod T>
  [[nodiscard]] T read(uint64_t offset) const {
    T value;
    copy_out(offset, writable_bytes_of(value));
    return value;
  }
  template <GuestPod T>
  void write(uint64_t offset, const T& value) const {
    copy_in(offset, bytes_of(value));
  }

 private:
  friend class GuestMemory;
  GuestView(const class GuestMemory* memory, Gpa base, std::byte* host, uint64_t size)
      : memory_(memory), base_(base), host_(host), size_(size) {}
  const class GuestMemory* memory_ = nullptr;
  Gpa base_;
  std::byte* host_ = nullptr;
  uint64_t size_ = 0;
};

class GuestMemory {
 public:
  struct Range {
    Gpa base;
    uint64_t size;
  };
  // Maps zeroed memory for `ranges` (page-aligned, ascending, disjoint). Errors say how much was asked for.
  [[nodiscard]] static Result<std::unique_ptr<GuestMemory>> create(std::span<const Range> ranges,
                                                                   const MemoryOptions& options);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  [[nodiscard]] std::span<const MemoryRegion> regions() const { return regions_; }
  [[nodiscard]] uint64_t total_size() const { return total_; }

  // A window of `length` bytes, which must lie in one region: hole, overflow => error.
  [[nodiscard]] Result<GuestView> view(Gpa base, uint64_t length, Access want) const;
  // The host iovec of a range, or {nullptr, 0} when it is not wholly inside one region. The data path's form of view().
  [[nodiscard]] iovec iovec_for(Gpa base, uint64_t length) const;

  [[nodiscard]] Result<void> read_bytes(Gpa from, std::span<std::byte> to) const;
  [[nodiscard]] Result<void> write_bytes(Gpa to, std::span<const std::byte> from) const;
  [[nodiscard]] Result<void> fill(Gpa base, uint64_t length, std::byte value) const;
  template <GuestPod T>
  [[nodiscard]] Result<T> read(Gpa at) const {
    T value;
    TRY_VOID(read_bytes(at, writable_bytes_of(value)));
    return value;
  }
  template <GuestPod T>
  [[nodiscard]] Result<void> write(Gpa at, const T& value) const {
    return write_bytes(at, bytes_of(value));
  }

  // Dirty tracking of our own and the kernel's writes on our behalf; KVM's log covers the vCPUs. Off until start.
  void start_dirty_tracking();
  void stop_dirty_tracking();
  void mark_dirty(Gpa base, uint64_t length) const {
    if (tracking_.load(std::memory_order_relaxed)) {
      mark_dirty_slow(base, length);
    }
  }
  // Adds the pages of region `index` that were written since the last call to `bitmap` (one bit a page) and clears them.
  void collect_dirty(size_t index, std::span<uint64_t> bitmap) const;

  // Replaces the pages of region `index` by a private copy-on-write mapping of `fd` from `offset`: lazy restore.
  [[nodiscard]] Result<void> map_file(size_t index, int fd, uint64_t offset);
  // Gives pages back to the host (balloon, free page reporting); they read as zero afterwards. Page-aligned ranges only.
  [[nodiscard]] Result<void> discard(Gpa base, uint64_t length) const;

 private:
  GuestMemory() = default;
  // What holds for every mapping of guest memory, whichever way it came.
  void advise(std::byte* start, uint64_t size) const;
  void mark_dirty_slow(Gpa base, uint64_t length) const;
  [[nodiscard]] const MemoryRegion* find(Gpa base, uint64_t length) const;

  std::vector<MemoryRegion> regions_;
  uint64_t total_ = 0;
  std::byte* mapping_ = nullptr;  // one reservation for all regions
  uint64_t mapping_size_ = 0;
  bool shared_ = false;
  bool hugetlb_ = false;
  bool mergeable_ = false;
  bool from_file_ = false;  // map_file() was used: dropped private pages would show the file again
  Fd fd_;
  std::atomic<bool> tracking_{false};
  struct Bitmap {
    std::unique_ptr<std::atomic<uint64_t>[]> words;
    size_t count = 0;
  };
  std::vector<Bitmap> dirty_;
};

}  // namespace lodge
