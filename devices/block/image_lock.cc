#include "devices/block/image_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "base/log.h"

namespace lodge {

Result<void> lock_image(int fd, ImageUse use, std::string_view what) {
  struct flock lock{};
  lock.l_type = static_cast<short>(use == ImageUse::exclusive ? F_WRLCK : F_RDLCK);
  lock.l_whence = SEEK_SET;
  int rc = 0;
  do {
    rc = ::fcntl(fd, F_OFD_SETLK, &lock);
  } while (rc != 0 && errno == EINTR);
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
