// Uring: registered memory, and what the kernel does not let the ring do.
#include "base/io/uring.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/fd.h"
#include "base/units.h"

namespace lodge {
namespace {

struct Transfer : UringOp {
  Transfer() {
    complete = [](UringOp& op, int32_t outcome) { static_cast<Transfer&>(op).result = outcome; };
  }
  std::optional<int32_t> result;
};

int32_t finish(Uring& ring, const Transfer& transfer) {
  while (!transfer.result) {
    ring.run_once(std::nullopt);
  }
  return *transfer.result;
}

Fd temporary_file() {
  std::string path = "/tmp/lodge-uring-XXXXXX";
  Fd fd(::mkstemp(path.data()));
  REQUIRE(fd.valid());
  ::unlink(path.c_str());
  return fd;
}

// The descriptors of all rings of this process.
std::vector<int> rings() {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(entry.path(), ignored) == "anon_inode:[io_uring]") {
      found.push_back(std::stoi(entry.path().filename()));
    }
  }
  return found;
}

}  // namespace

TEST_CASE("uring_uses_registered_memory_and_other_memory_alike") {
  const auto ring = std::move(*Uring::create(8));
  const Fd fd = temporary_file();
  const Uring::File file{fd.get(), false};
  std::vector<char> memory(4 * kPageSize);
  const std::array<iovec, 2> halves{iovec{memory.data(), 2 * kPageSize}, iovec{memory.data() + 2 * kPageSize, kPageSize}};
  REQUIRE(ring->register_buffers(halves));
  for (size_t i = 0; i < memory.size(); ++i) {
    memory[i] = static_cast<char>(i * 31 + i / 251);
  }
  const std::vector<char> expected = memory;
  // In the first, over both, in the second, over its end, outside.
  const std::array<std::pair<size_t, unsigned>, 6> ranges{{{0, 100},
                                                           {5000, 6000},
                                                           {2 * kPageSize, kPageSize},
                                                           {3 * kPageSize - 10, 20},
                                                           {3 * kPageSize, 50},
                                                           {0, 4 * kPageSize}}};
  for (const auto& [begin, size] : ranges) {
    Transfer out;
    ring->write(out, file, memory.data() + begin, size, begin);
    CHECK(finish(*ring, out) == static_cast<int32_t>(size));
    std::fill_n(memory.begin() + static_cast<std::ptrdiff_t>(begin), size, '\0');
    Transfer in;
    ring->read(in, file, memory.data() + begin, size, begin);
    CHECK(finish(*ring, in) == static_cast<int32_t>(size));
    CHECK(memory == expected);
  }
}

TEST_CASE("uring_may_do_nothing_but_what_it_was_made_for") {
  const std::vector<int> before = rings();
  const auto ring = std::move(*Uring::create(8));
  std::vector<int> after = rings();
  std::erase_if(after, [&before](int fd) { return std::find(before.begin(), before.end(), fd) != before.end(); });
  REQUIRE(after.size() == 1);
  // Credentials for later operations: any ring may, unless it is restricted.
  CHECK(::syscall(SYS_io_uring_register, after[0], IORING_REGISTER_PERSONALITY, nullptr, 0) == -1);
  CHECK(errno == EACCES);
}

}  // namespace lodge
