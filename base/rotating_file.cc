#include "base/rotating_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

namespace lodge {
namespace {

constexpr size_t kPart = size_t{1} << 16;  // bytes copied at a time
constexpr size_t kLineEnd = 80;            // a file ends with a whole line if one ends within its last bytes

Mutex rooms_mutex;
std::map<int, LogRoom>& rooms() REQUIRES(rooms_mutex) {
  static std::map<int, LogRoom> table;
  return table;
}

// By a system call that every thread of a monitor may make. Where we are in the file does not matter to us.
uint64_t size_of(int fd) { return static_cast<uint64_t>(std::max<off_t>(0, ::lseek(fd, 0, SEEK_END))); }

bool put(int fd, const char* data, size_t size, off_t at) {
  while (size > 0) {
    const ssize_t n = ::pwrite(fd, data, size, at);
    if (n <= 0) {
      return false;
    }
    data += n;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

void copy(int from, int to) {
  std::vector<char> part(kPart);
  off_t at = 0;
  for (ssize_t n = 0; (n = ::pread(from, part.data(), part.size(), at)) > 0; at += n) {
    if (!put(to, part.data(), static_cast<size_t>(n), at)) {
      break;
    }
  }
  (void)!::ftruncate(to, at);
}

}  // namespace

void roll_over(int file, std::span<const Fd> backups) {
  for (size_t i = backups.size(); i > 0; --i) {
    copy(i > 1 ? backups[i - 2].get() : file, backups[i - 1].get());
  }
  (void)!::ftruncate(file, 0);
}

void set_log_room(int log, LogRoom room) {
  const Lock lock(rooms_mutex);
  rooms()[log] = std::move(room);
}

LogRoom take_log_room(int log) {
  const Lock lock(rooms_mutex);
  auto node = rooms().extract(log);
  return node ? std::move(node.mapped()) : LogRoom();
}

RotatingFile::RotatingFile(Fd file, LogRoom room) : file_(std::move(file)), room_(std::move(room)) {
  struct stat facts{};
  if (::fstat(file_.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    room_.limit = 0;
  }
  size_ = static_cast<uint64_t>(facts.st_size);
}

void RotatingFile::start_over() {
  roll_over(file_.get(), room_.backups);
  size_ = size_of(file_.get());
}

// How much of the text goes into the file as it stands; a full one is moved first.
size_t RotatingFile::fitting(std::string_view text) {
  if (room_.limit == 0) {
    return text.size();
  }
  if (size_ + text.size() > room_.limit) {
    size_ = size_of(file_.get());
  }
  if (size_ >= room_.limit) {
    start_over();
  }
  const auto fits = static_cast<size_t>(std::min<uint64_t>(room_.limit - std::min(size_, room_.limit), text.size()));
  if (fits == text.size()) {
    return fits;
  }
  const std::string_view last = text.substr(0, fits).substr(fits - std::min(fits, kLineEnd));
  const size_t end = last.rfind('\n');
  return end == std::string_view::npos ? fits : fits - last.size() + end + 1;
}

Result<void> RotatingFile::write(std::string_view text) {
  const Lock lock(mutex_);
  while (!text.empty()) {
    const size_t part = fitting(text);
    const ssize_t n = ::write(file_.get(), text.data(), part);
    if (n > 0) {
      size_ += static_cast<uint64_t>(n);
      text.remove_prefix(static_cast<size_t>(n));
      if (static_cast<size_t>(n) == part && !text.empty()) {
        start_over();  // what is left of the room was too little for a line
      }
    } else if (n == 0 || errno != EINTR) {
      return fail_errno(n == 0 ? EFBIG : errno, "write");
    }
  }
  return {};
}

}  // namespace lodge
