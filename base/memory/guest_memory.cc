#include "base/memory/guest_memory.h"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace lodge {
namespace {

// Racy by nature: the guest may write while we copy. Kept out of line and opaque so that the compiler neither repeats nor
// splits a copy into a decision and a second read.
#ifdef __SANITIZE_THREAD__
// The thread sanitizer must not take the guest's races for ours.
[[gnu::noinline, gnu::no_sanitize("thread")]] void copy_bytes(std::byte* to, const std::byte* from, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    static_cast<volatile std::byte*>(to)[i] = static_cast<const volatile std::byte*>(from)[i];
  }
}
#else
[[gnu::noinline]] void copy_bytes(std::byte* to, const std::byte* from, size_t size) {
  if (size != 0) {  // an empty span may have no address
    std::memcpy(to, from, size);
  }
}
#endif

unsigned memfd_flags(const MemoryOptions& options) {
  unsigned flags = MFD_CLOEXEC;
  if (options.backing == MemoryBacking::hugetlb) {
    const auto shift = static_cast<unsigned>(std::countr_zero(options.hugepage_size));
    flags |= MFD_HUGETLB | (shift << MFD_HUGE_SHIFT);
  }
  return flags;
}

}  // namespace

void GuestView::copy_out(uint64_t offset, std::span<std::byte> to) const {
  assert(range_fits(offset, to.size(), size_));
  copy_bytes(to.data(), host_ + offset, to.size());
}

void GuestView::copy_in(uint64_t offset, std::span<const std::byte> from) const {
  assert(range_fits(offset, from.size(), size_));
  copy_bytes(host_ + offset, from.data(), from.size());
  memory_->mark_dirty(Gpa{base_.value + offset}, from.size());
}

uint16_t GuestView::load_acquire16(uint64_t offset) const {
  assert(range_fits(offset, 2, size_) && is_aligned(offset, 2));
  // SAFETY: in range and aligned (rings are aligned when mapped); a lock-free 16-bit atomic access to shared memory.
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(host_ + offset), __ATOMIC_ACQUIRE);
}

void GuestView::store_release16(uint64_t offset, uint16_t value) const {
  assert(range_fits(offset, 2, size_) && is_aligned(offset, 2));
  // SAFETY: as load_acquire16.
  __atomic_store_n(reinterpret_cast<uint16_t*>(host_ + offset), value, __ATOMIC_RELEASE);
  memory_->mark_dirty(Gpa{base_.value + offset}, 2);
}

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(std::span<const Range> ranges, const MemoryOptions& options) {
  std::unique_ptr<GuestMemory> memory(new GuestMemory);
  uint64_t end = 0;
  for (const Range& range : ranges) {
    if (range.size == 0 || !is_aligned(range.base.value | range.size, kPageSize) || range.base.value < end) {
      return fail("guest memory range {:#x}+{:#x} is empty, unaligned or out of order", range.base.value, range.size);
    }
    end = range.base.value + range.size;
    memory->total_ += range.size;
  }
  const uint64_t alignment = options.backing == MemoryBacking::hugetlb ? options.hugepage_size : 2 * kMiB;
  if (!std::has_single_bit(alignment)) {
    return fail("huge pages of {} bytes: the size is not a power of two", alignment);
  }
  const uint64_t size = align_up(memory->total_, alignment);
  int map_flags = MAP_NORESERVE;
  if (options.backing == MemoryBacking::anonymous) {
    map_flags |= MAP_PRIVATE | MAP_ANONYMOUS;
  } else {
    const long fd = ::syscall(SYS_memfd_create, "lodge-guest-ram", memfd_flags(options));
    if (fd < 0) {
      return fail_errno(errno, "create a memory file of {} MiB for the guest", size / kMiB);
    }
    memory->fd_ = Fd(static_cast<int>(fd));
    if (::ftruncate(memory->fd_.get(), static_cast<off_t>(size)) != 0) {
      return fail_errno(errno, "size the guest's memory file to {} MiB", size / kMiB);
    }
    map_flags |= MAP_SHARED;
    memory->shared_ = true;
    memory->hugetlb_ = options.backing == MemoryBacking::hugetlb;
  }
  // Reserve with slack so that the mapping starts on a huge-page boundary.
  const uint64_t reserved = size + alignment;
  void* raw = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    return fail_errno(errno, "reserve {} MiB of address space for guest memory", reserved / kMiB);
  }
  // SAFETY: pointer arithmetic inside our own reservation.
  auto* start = reinterpret_cast<std::byte*>(align_up(reinterpret_cast<uint64_t>(raw), alignment));
  const auto head = static_cast<uint64_t>(start - static_cast<std::byte*>(raw));
  if (head != 0) {
    ::munmap(raw, head);
  }
  if (reserved - head - size != 0) {
    ::munmap(start + size, reserved - head - size);
  }
  memory->mapping_ = start;
  memory->mapping_size_ = size;
  if (::mmap(start, size, PROT_READ | PROT_WRITE, map_flags | MAP_FIXED, memory->fd_.get(), 0) == MAP_FAILED) {
    return fail_errno(errno, "map {} MiB of guest memory", size / kMiB);
  }
  memory->mergeable_ = options.mergeable;
  if (options.backing == MemoryBacking::anonymous) {
    ::madvise(start, size, options.transparent_hugepages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  memory->advise(start, size);
  if (options.prealloc && ::madvise(start, size, MADV_POPULATE_WRITE) != 0) {
    return fail_errno(errno, "allocate {} MiB of guest memory in advance", size / kMiB);
  }
  uint64_t offset = 0;
  for (const Range& range : ranges) {
    memory->regions_.push_back(MemoryRegion{range.base, range.size, start + offset, memory->fd_.get(), offset});
    offset += range.size;
  }
  return memory;
}

GuestMemory::~GuestMemory() {
  if (mapping_ != nullptr) {
    ::munmap(mapping_, mapping_size_);
  }
}

const MemoryRegion* GuestMemory::find(Gpa base, uint64_t length) const {
  for (const MemoryRegion& region : regions_) {
    if (base.value >= region.base.value && range_fits(base.value - region.base.value, length, region.size)) {
      return &region;
    }
  }
  return nullptr;
}

Result<GuestView> GuestMemory::view(Gpa base, uint64_t length, Access) const {
  const MemoryRegion* region = find(base, length);
  if (region == nullptr) {
    return fail("guest range {:#x}+{:#x} is not RAM", base.value, length);
  }
  return GuestView(this, base, region->host + (base.value - region->base.value), length);
}

iovec GuestMemory::iovec_for(Gpa base, uint64_t length) const {
  const MemoryRegion* region = find(base, length);
  return region == nullptr ? iovec{nullptr, 0} : iovec{region->host + (base.value - region->base.value), length};
}

Result<void> GuestMemory::read_bytes(Gpa from, std::span<std::byte> to) const {
  const GuestView window = TRY(view(from, to.size(), Access::read));
  window.copy_out(0, to);
  return {};
}

Result<void> GuestMemory::write_bytes(Gpa to, std::span<const std::byte> from) const {
  const GuestView window = TRY(view(to, from.size(), Access::write));
  window.copy_in(0, from);
  return {};
}

Result<void> GuestMemory::fill(Gpa base, uint64_t length, std::byte value) const {
  const GuestView window = TRY(view(base, length, Access::write));
  std::memset(window.host_, static_cast<int>(value), length);
  mark_dirty(base, length);
  return {};
}

void GuestMemory::start_dirty_tracking() {
  // Made once and kept: another thread may still be marking for the tracking before.
  if (dirty_.empty()) {
    for (const MemoryRegion& region : regions_) {
      const size_t words = (region.size / kPageSize + 63) / 64;
      dirty_.push_back(Bitmap{std::make_unique<std::atomic<uint64_t>[]>(words), words});
    }
  }
  for (const Bitmap& bitmap : dirty_) {
    for (size_t i = 0; i < bitmap.count; ++i) {
      bitmap.words[i].store(0, std::memory_order_relaxed);
    }
  }
  tracking_.store(true, std::memory_order_seq_cst);
}

void GuestMemory::stop_dirty_tracking() { tracking_.store(false, std::memory_order_seq_cst); }

void GuestMemory::mark_dirty_slow(Gpa base, uint64_t length) const {
  const MemoryRegion* region = find(base, length);
  if (region == nullptr || length == 0 || !tracking_.load(std::memory_order_acquire)) {
    return;  // the second look orders this thread after the bitmaps' making
  }
  const Bitmap& bitmap = dirty_[static_cast<size_t>(region - regions_.data())];
  const uint64_t first = (base.value - region->base.value) / kPageSize;
  const uint64_t last = (base.value - region->base.value + length - 1) / kPageSize;
  for (uint64_t page = first; page <= last; ++page) {
    bitmap.words[page / 64].fetch_or(uint64_t{1} << (page % 64), std::memory_order_relaxed);
  }
}

void GuestMemory::collect_dirty(size_t index, std::span<uint64_t> bitmap) const {
  const Bitmap& mine = dirty_.at(index);
  for (size_t i = 0; i < std::min(mine.count, bitmap.size()); ++i) {
    bitmap[i] |= mine.words[i].exchange(0, std::memory_order_relaxed);
  }
}

Result<void> GuestMemory::map_file(size_t index, int fd, uint64_t offset) {
  const MemoryRegion& region = regions_.at(index);
  if (shared_) {
    uint64_t done = 0;
    while (done < region.size) {
      const ssize_t n =
          ::pread(fd, region.host + done, std::min<uint64_t>(region.size - done, kGiB), static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n <= 0) {
        return fail_errno(n == 0 ? ENODATA : errno, "read guest memory from the saved file");
      }
      done += static_cast<uint64_t>(n);
    }
    return {};
  }
  void* mapped = ::mmap(region.host, region.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
                        static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) {
    return fail_errno(errno, "map guest memory from the saved file");
  }
  from_file_ = true;
  advise(region.host, region.size);
  return {};
}

void GuestMemory::advise(std::byte* start, uint64_t size) const {
  if (mergeable_) {
    ::madvise(start, size, MADV_MERGEABLE);
  }
  ::madvise(start, size, MADV_DONTDUMP);
}

Result<void> GuestMemory::discard(Gpa base, uint64_t length) const {
  const GuestView window = TRY(view(base, length, Access::write));
  if (!is_aligned(base.value | length, kPageSize)) {
    return fail("discard of unaligned guest range {:#x}+{:#x}", base.value, length);
  }
  if (hugetlb_) {
    return {};  // a part of a huge page cannot be given back
  }
  if (from_file_) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (::mmap(window.host_, length, PROT_READ | PROT_WRITE, kFlags, -1, 0) == MAP_FAILED) {
      std::memset(window.host_, 0, length);  // too many mappings: at least the promise of zeros is kept
    } else {
      advise(window.host_, length);
    }
  } else if (::madvise(window.host_, length, shared_ ? MADV_REMOVE : MADV_DONTNEED) != 0) {
    return fail_errno(errno, "give back guest memory {:#x}+{:#x}", base.value, length);
  }
  mark_dirty(base, length);
  return {};
}

}  // namespace lodge
