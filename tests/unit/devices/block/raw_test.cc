// Opening raw images: sizes, locks and errors. The data path is covered by the virtio-blk tests.
#include "devices/block/raw.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "base/units.h"

namespace lodge {
namespace {

struct TempFile {
  explicit TempFile(uint64_t size) {
    fd = ::mkstemp(path.data());
    REQUIRE(fd >= 0);
    REQUIRE(::ftruncate(fd, static_cast<off_t>(size)) == 0);
  }
  ~TempFile() {
    ::close(fd);
    ::unlink(path.c_str());
  }
  std::string path = "/tmp/lodge-raw-XXXXXX";
  int fd = -1;
};

RawOptions options_for(const std::string& path, bool read_only = false) {
  RawOptions options;
  options.id = "vda";
  options.path = path;
  options.read_only = read_only;
  return options;
}

std::string error_of(RawOptions options) {
  auto backend = open_raw(std::move(options));
  REQUIRE_FALSE(backend);
  return backend.error().message;
}

}  // namespace

TEST_CASE("raw_errors_name_disk_path_cause_and_remedy") {
  CHECK(error_of(options_for("/nonexistent/a.img")) ==
        "cannot open disk 'vda' (/nonexistent/a.img): No such file or directory; check the path");
  CHECK(error_of(options_for("/tmp")).find("Is a directory") != std::string::npos);
  CHECK(error_of(options_for("/dev/null")).find("neither a file nor a block device") != std::string::npos);
  const TempFile empty(0);
  CHECK(error_of(options_for(empty.path)).find("it is empty") != std::string::npos);
  const TempFile tiny(100);
  CHECK(error_of(options_for(tiny.path)).find("only 100 bytes") != std::string::npos);
}

TEST_CASE("raw_odd_sized_image_is_rounded_down") {
  const TempFile odd(1000);
  const auto backend = open_raw(options_for(odd.path));
  REQUIRE(backend);
  CHECK((*backend)->info().size == 512);
}

TEST_CASE("raw_image_lock_excludes_writers_and_shares_readers") {
  const TempFile file(4096);
  {
    const auto writer = open_raw(options_for(file.path));
    REQUIRE(writer);
    CHECK(error_of(options_for(file.path)).find("disk 'vda' (" + file.path + ") is in use by another process") == 0);
    CHECK(error_of(options_for(file.path, true)).find("in use") != std::string::npos);
    RawOptions shareable = options_for(file.path);
    shareable.lock = false;
    CHECK(open_raw(std::move(shareable)));
  }
  const auto reader = open_raw(options_for(file.path, true));
  REQUIRE(reader);
  CHECK(open_raw(options_for(file.path, true)));
  CHECK(error_of(options_for(file.path)).find("in use") != std::string::npos);
}

TEST_CASE("raw_waits_for_the_lock_of_one_that_is_ending") {
  const TempFile file(4096);
  for (int i = 0; i < 20; ++i) {
    auto first = open_raw(options_for(file.path));
    REQUIRE(first);
    std::thread ending([&] { first->reset(); });
    CHECK(open_raw(options_for(file.path)));
    ending.join();
  }
}

TEST_CASE("raw_lock_is_given_up_at_the_end_though_others_hold_the_file") {
  const TempFile file(4096);
  auto first = RawBackend::open(options_for(file.path));
  REQUIRE(first);
  const Fd copy(::dup((*first)->fd()));  // as a ring that the kernel has not torn down yet
  first->reset();
  const auto second = RawBackend::open(options_for(file.path));
  CHECK(second);
}

TEST_CASE("raw_lock_can_be_handed_over") {
  const TempFile file(4096);
  const auto first = RawBackend::open(options_for(file.path));
  REQUIRE(first);
  RawOptions waiting = options_for(file.path);
  waiting.lock = false;
  const auto second = RawBackend::open(std::move(waiting));
  REQUIRE(second);
  CHECK_FALSE((*second)->take_lock());
  (*first)->release_lock();
  CHECK((*second)->take_lock());
  CHECK_FALSE((*first)->take_lock());
}

TEST_CASE("raw_takes_a_given_descriptor") {
  const TempFile file(8192);
  RawOptions options = options_for(file.path);
  options.fd = Fd(::open(file.path.c_str(), O_RDWR | O_CLOEXEC));
  CHECK(open_raw(std::move(options)));
  RawOptions wrong = options_for(file.path);
  wrong.fd = Fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(error_of(std::move(wrong)).find("does not allow writing") != std::string::npos);
}

TEST_CASE("raw_resize_checks_its_argument") {
  const TempFile file(8192);
  const auto backend = open_raw(options_for(file.path));
  REQUIRE(backend);
  CHECK_FALSE((*backend)->resize(1000));
  REQUIRE((*backend)->resize(16384));
  CHECK((*backend)->info().size == 16384);
  const TempFile other(8192);
  const auto read_only = open_raw(options_for(other.path, true));
  REQUIRE(read_only);
  CHECK_FALSE((*read_only)->resize(16384));
}

}  // namespace lodge
