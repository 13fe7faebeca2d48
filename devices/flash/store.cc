#include "devices/flash/store.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <chrono>
#include <cstring>

#include "base/log.h"
#include "base/units.h"
#include "devices/block/image_lock.h"
#include "devices/flash/cfi.h"

namespace lodge {
namespace {

constexpr int64_t kMaxSize = 8 * kMiB;  // of what lies below 4 GiB with the firmware's code

Result<void> read_whole(int fd, std::span<std::byte> to, const std::string& path) {
  uint64_t offset = 0;
  while (!to.empty()) {
    const ssize_t count = ::pread(fd, to.data(), to.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return fail_errno(count < 0 ? errno : EIO, "read the flash's file '{}'", path);
    }
    to = to.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<FlashStore>> FlashStore::open(FlashStoreOptions options) {
  struct stat status{};
  if (::fstat(options.file.get(), &status) != 0) {
    return fail_errno(errno, "examine the flash's file '{}'", options.path);
  }
  if (!S_ISREG(status.st_mode)) {
    return fail("the flash's file '{}' is not a regular file; give the file itself", options.path);
  }
  if (status.st_size <= 0 || status.st_size > kMaxSize || status.st_size % kFlashBlock != 0) {
    return fail("the flash's file '{}' has {} bytes; it must have a multiple of 4 KiB, at most {} MiB", options.path,
                status.st_size, kMaxSize / static_cast<int64_t>(kMiB));
  }
  const auto size = static_cast<uint32_t>(status.st_size);
  if (options.written_through) {
    const auto patience = std::chrono::milliseconds(options.lock_patience_ms);
    TRY_VOID(lock_image(options.file.get(), ImageUse::exclusive, fmt::format("flash '{}'", options.path), patience));
  }
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return fail_errno(errno, "get {} bytes of memory for the flash '{}'", size, options.path);
  }
  std::unique_ptr<FlashStore> self(new FlashStore(std::move(options), static_cast<std::byte*>(mapped), size));
  TRY_VOID(read_whole(self->file().get(), {self->host_, size}, self->path()));
  if (self->volatile_contents()) {
    self->options_.file.reset();
  }
  return self;
}

FlashStore::~FlashStore() { ::munmap(host_, size_); }

bool FlashStore::replace(uint32_t offset, std::span<const std::byte> bytes) {
  if (options_.written_through) {
    std::span<const std::byte> left = bytes;
    off_t at = offset;
    while (!left.empty()) {
      const ssize_t count = ::pwrite(file().get(), left.data(), left.size(), at);
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count <= 0) {
        log_error("flash", "write to '{}': {}; the guest is told that its change failed", path(),
                  std::strerror(count < 0 ? errno : EIO));
        if (left.size() != bytes.size()) {  // what was there goes back; it was written before, so there is room
          (void)!::pwrite(file().get(), host_ + offset, bytes.size() - left.size(), offset);
        }
        return false;
      }
      left = left.subspan(static_cast<size_t>(count));
      at += count;
    }
  }
  load(offset, bytes);
  return true;
}

void FlashStore::load(uint32_t offset, std::span<const std::byte> bytes) {
  std::memcpy(host_ + offset, bytes.data(), bytes.size());
}

}  // namespace lodge
