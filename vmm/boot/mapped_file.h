// A read-only mapping of a kernel, initrd or module file. The mapping lives as long as the object.
// Called by the machine before boot, on the control thread. The host owns the file: it must not be truncated while mapped.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace lodge {

class MappedFile {
 public:
  // `what` names the role ("kernel", "initrd") in errors. An empty file, a directory or a device is an error.
  [[nodiscard]] static Result<MappedFile> open(const std::string& path, std::string_view what);
  // The same from a descriptor that stays the caller's; `name` stands in errors.
  [[nodiscard]] static Result<MappedFile> map(int fd, std::string_view name, std::string_view what);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { reset(); }

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  // The pages that were read no longer count as this process's memory; they come back from the file when needed.
  void release_pages() const;

 private:
  void reset();
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lodge
