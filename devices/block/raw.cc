#include "devices/block/raw.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "base/log.h"
#include "base/units.h"
#include "devices/block/image_lock.h"
#include "devices/block/raw_queue.h"

namespace lodge {
namespace {

constexpr uint32_t kSector = 512;

std::string_view remedy(int code) {
  switch (code) {
    case ENOENT: return "; check the path";
    case EACCES:
    case EPERM: return "; check who owns the file and its mode, or use the disk read-only";
    case EROFS: return "; use the disk read-only";
    case EISDIR: return "; give a file or a block device";
    case ENXIO:
    case ENODEV:
    case ENOMEDIUM: return "; check that the device is there";
    case EBUSY: return "; unmount it or stop what uses it";
    default: return "";
  }
}

uint32_t power_of_two_or(uint32_t value, uint32_t fallback) {
  return value >= kSector && std::has_single_bit(value) && value <= 65536 ? value : fallback;
}

}  // namespace

Result<std::unique_ptr<RawBackend>> RawBackend::open(RawOptions options) {
  std::unique_ptr<RawBackend> self(new RawBackend(std::move(options)));
  self->info_.description =
      fmt::format("disk '{}' ({})", self->options_.id, self->options_.path.empty() ? "descriptor" : self->options_.path);
  TRY_VOID(self->open_fd());
  TRY_VOID(self->set_up());
  if (self->options_.lock) {
    TRY_VOID(lock_image(self->fd_.get(), self->image_use(), self->info_.description, self->options_.lock_patience));
  }
  return self;
}

RawBackend::~RawBackend() {
  // Closing alone leaves the lock until the kernel has torn down the rings that know the file, after our end. The lock on a
  // file that was given to us is its giver's, too.
  if (opened_here_) {
    unlock_image(fd_.get());
  }
}

Result<std::unique_ptr<BlockBackend>> open_raw(RawOptions options) { return RawBackend::open(std::move(options)); }

Result<void> RawBackend::open_fd() {
  if (options_.fd.valid()) {
    fd_ = std::move(options_.fd);
    const int flags = ::fcntl(fd_.get(), F_GETFL);
    if (flags < 0) {
      return fail_errno(errno, "cannot use the descriptor given for {}", info_.description);
    }
    if (!options_.read_only && (flags & O_ACCMODE) != O_RDWR) {
      return fail(
          "the descriptor given for {} does not allow writing; open it for reading and writing, or use the disk "
          "read-only",
          info_.description);
    }
    const int wanted = direct() ? flags | O_DIRECT : flags & ~O_DIRECT;
    if (wanted != flags && ::fcntl(fd_.get(), F_SETFL, wanted) != 0) {
      return fail("cannot open {}: its file system has no direct I/O; use cache=writeback or writethrough",
                  info_.description);
    }
    return {};
  }
  const int flags = (options_.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  fd_ = Fd(::open(options_.path.c_str(), flags | (direct() ? O_DIRECT : 0)));
  if (fd_.valid()) {
    opened_here_ = true;
    return {};
  }
  const int code = errno;
  if (code == EINVAL && direct()) {
    const Fd buffered(::open(options_.path.c_str(), flags));
    if (buffered.valid()) {
      return fail("cannot open {}: its file system has no direct I/O; use cache=writeback or writethrough",
                  info_.description);
    }
  }
  return std::unexpected(Error{
      fmt::format("cannot open {}: {}{}", info_.description, std::generic_category().message(code), remedy(code)), code});
}

Result<void> RawBackend::set_up() {
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) {
    return fail_errno(errno, "cannot look at {}", info_.description);
  }
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return fail("cannot use {}: it is neither a file nor a block device; give one of these", info_.description);
  }
  block_device_ = S_ISBLK(status.st_mode);
  info_.read_only = options_.read_only;
  info_.write_cache = options_.cache != CacheMode::writethrough && options_.cache != CacheMode::directsync;
  info_.can_discard = unmaps() && !options_.read_only;
  info_.can_write_zeroes = !options_.read_only;
  if (block_device_) {
    int logical = 0;
    unsigned physical = 0;
    unsigned optimal = 0;
    if (::ioctl(fd_.get(), BLKSSZGET, &logical) == 0) {
      info_.logical_block = power_of_two_or(static_cast<uint32_t>(logical), kSector);
    }
    if (::ioctl(fd_.get(), BLKPBSZGET, &physical) == 0) {
      info_.physical_block = power_of_two_or(physical, info_.logical_block);
    }
    if (::ioctl(fd_.get(), BLKIOOPT, &optimal) == 0) {
      info_.optimal_io = optimal;
    }
    int host_read_only = 0;
    if (!options_.read_only && ::ioctl(fd_.get(), BLKROGET, &host_read_only) == 0 && host_read_only != 0) {
      return fail("cannot open {}: the block device is read-only; use the disk read-only", info_.description);
    }
  }
  TRY_VOID(find_alignment());
  info_.logical_block = std::max({info_.logical_block, offset_align_, kSector});
  info_.physical_block = std::max(info_.physical_block, info_.logical_block);
  return adopt_size(TRY(read_size()));
}

Result<void> RawBackend::find_alignment() {
  if (!direct()) {
    return {};
  }
#ifdef STATX_DIOALIGN
  struct statx status{};
  if (::statx(fd_.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) != 0 &&
      status.stx_dio_offset_align != 0) {
    offset_align_ = status.stx_dio_offset_align;
    memory_align_ = std::max<uint32_t>(status.stx_dio_mem_align, 1);
    return {};
  }
#endif
  if (block_device_) {
    offset_align_ = memory_align_ = info_.logical_block;
    return {};
  }
  // An old kernel: a trial read tells.
  const std::unique_ptr<void, void (*)(void*)> page(std::aligned_alloc(2 * kPageSize, 2 * kPageSize), std::free);
  for (const uint32_t align : {512U, 4096U}) {
    if (::pread(fd_.get(), static_cast<std::byte*>(page.get()) + align, align, 0) >= 0) {
      offset_align_ = memory_align_ = align;
      return {};
    }
  }
  return fail_errno(errno, "cannot read {} with direct I/O; use cache=writeback or writethrough", info_.description);
}

Result<uint64_t> RawBackend::read_size() const {
  if (block_device_) {
    uint64_t bytes = 0;
    if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0) {
      return fail_errno(errno, "cannot read the size of {}", info_.description);
    }
    return bytes;
  }
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) {
    return fail_errno(errno, "cannot read the size of {}", info_.description);
  }
  return static_cast<uint64_t>(status.st_size);
}

Result<void> RawBackend::adopt_size(uint64_t size) {
  const uint64_t usable = align_down(size, info_.logical_block);
  if (usable == 0) {
    return fail("cannot use {}: it is {}; create it with the size that the guest shall see (truncate -s 10G FILE)",
                info_.description, size == 0 ? "empty" : fmt::format("only {} bytes long", size));
  }
  if (usable != size) {
    log_warning("block", "{}: size {} is not a multiple of {}; the last {} bytes are not visible to the guest",
                info_.description, size, info_.logical_block, size - usable);
  }
  size_.store(usable, std::memory_order_relaxed);
  return {};
}

BlockInfo RawBackend::info() const {
  BlockInfo info = info_;
  info.size = size();
  return info;
}

Result<std::unique_ptr<BlockQueue>> RawBackend::open_queue(EventLoop& loop) {
  return std::make_unique<RawQueue>(*this, loop);
}

Result<void> RawBackend::resize(uint64_t size) {
  if (size == 0) {
    return adopt_size(TRY(read_size()));
  }
  if (size % info_.logical_block != 0) {
    return fail("cannot resize {} to {} bytes: not a multiple of {}", info_.description, size, info_.logical_block);
  }
  if (info_.read_only) {
    return fail("cannot resize {}: the disk is read-only", info_.description);
  }
  if (block_device_) {
    const uint64_t have = TRY(read_size());
    if (size > have) {
      return fail("cannot resize {} to {} bytes: the block device has {}; grow the device first", info_.description, size,
                  have);
    }
  } else if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return fail_errno(errno, "cannot resize {} to {} bytes", info_.description, size);
  }
  return adopt_size(size);
}

Result<void> RawBackend::take_lock() { return lock_image(fd_.get(), image_use(), info_.description); }

// Rings that knew the file hold it for up to a second after it was closed, and its lock with it.
void RawBackend::give_up() {
  if (options_.lock) {
    unlock_image(fd_.get());
  }
}

void RawBackend::release_lock() { unlock_image(fd_.get()); }

}  // namespace lodge
