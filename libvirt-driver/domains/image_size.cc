#include "libvirt-driver/domains/image_size.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

namespace lodge {

Answer<ImageSize> image_size(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return std::unexpected(CallError(fail_errno(errno, "cannot stat file '{}'", path).error()));
  }
  ImageSize size;
  if (S_ISBLK(status.st_mode)) {
    const Fd fd = TRY(open_file(path, O_RDONLY));
    const off_t end = ::lseek(fd.get(), 0, SEEK_END);
    size.capacity = size.physical = size.allocation = end < 0 ? 0 : static_cast<uint64_t>(end);
  } else {
    size.capacity = size.physical = static_cast<uint64_t>(status.st_size);
    size.allocation = static_cast<uint64_t>(status.st_blocks) * 512;
  }
  return size;
}

}  // namespace lodge
