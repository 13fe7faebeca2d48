#include "devices/block/image_lock.h"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>

#include "base/log.h"

namespace lodge {
namespace {
constexpr int kRetryMs = 5;
}  // namespace

Result<void> lock_image(int fd, ImageUse use, std::string_view what, std::chrono::milliseconds patience) {
  struct flock lock{};
  lock.l_type = static_cast<short>(use == ImageUse::exclusive ? F_WRLCK : F_RDLCK);
  lock.l_whence = SEEK_SET;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  int rc = ::fcntl(fd, F_OFD_SETLK, &lock);
  while (rc != 0 &&
         (errno == EINTR || ((errno == EAGAIN || errno == EACCES) && std::chrono::steady_clock::now() < deadline))) {
    ::poll(nullptr, 0, kRetryMs);
    rc = ::fcntl(fd, F_OFD_SETLK, &lock);
  }
  if (rc == 0) {
    return {};
  }
  if (errno == EAGAIN || errno == EACCES) {
    return std::unexpected(
        Error{fmt::format("{} is in use by another process; stop the guest or tool that has it open", what), EBUSY});
  }
  if (errno == EBADF) {
    return fail("{} cannot be locked: its descriptor does not allow {}", what,
                use == ImageUse::exclusive ? "writing" : "reading");
  }
  log_warning("block", "{}: the storage has no locks ({}); nothing keeps another process from using it", what, errno);
  return {};
}

void unlock_image(int fd) {
  struct flock lock{};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  ::fcntl(fd, F_OFD_SETLK, &lock);
}

}  // namespace lodge
