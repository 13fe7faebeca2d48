#include "vmm/boot/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/fd.h"

namespace lodge {

Result<MappedFile> MappedFile::open(const std::string& path, std::string_view what) {
  // O_NONBLOCK: a FIFO or a terminal named by mistake must not hang us; map() then refuses it.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return std::unexpected(Error{fmt::format("cannot open the {} '{}': {}; check the path and who may read it", what, path,
                                             std::generic_category().message(errno)),
                                 errno});
  }
  return map(fd.get(), path, what);
}

Result<MappedFile> MappedFile::map(int fd, std::string_view name, std::string_view what) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    return fail_errno(errno, "examine the {} '{}'", what, name);
  }
  if (!S_ISREG(status.st_mode)) {
    return fail("the {} '{}' is not a regular file; give the file itself", what, name);
  }
  if (status.st_size <= 0) {
    return fail("the {} '{}' is empty; fetch or build it again", what, name);
  }
  MappedFile file;
  const auto size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) {
    return fail_errno(errno, "map the {} '{}'", what, name);
  }
  file.data_ = static_cast<const std::byte*>(data);
  file.size_ = size;
  return file;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void MappedFile::release_pages() const {
  if (data_ != nullptr) {
    ::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
  }
}

void MappedFile::reset() {
  if (data_ != nullptr) {
    ::munmap(const_cast<std::byte*>(data_), size_);  // NOLINT(cppcoreguidelines-pro-type-const-cast): munmap takes void*
    data_ = nullptr;
    size_ = 0;
  }
}

}  // namespace lodge
