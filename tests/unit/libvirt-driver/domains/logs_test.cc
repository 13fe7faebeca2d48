#include "libvirt-driver/domains/logs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

namespace lodge {
namespace {

struct Folder {
  Folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path = "/tmp/lodge-logs-XXXXXX";
};

constexpr LogLimits kLimits{.max_size = 10, .max_backups = 2};

}  // namespace

TEST_CASE("a guest's log is opened with its backups, which go when they were not needed") {
  const Folder folder;
  const std::string path = folder.path + "/web.log";
  {
    const auto log = open_log(path, true, kLimits);
    REQUIRE(log);
    CHECK(log->backups.size() == 2);
    REQUIRE(write_log(*log, "12345678", kLimits));
    REQUIRE(write_log(*log, "abc", kLimits));
  }
  CHECK(*read_file(path, 100) == "abc");
  CHECK(*read_file(path + ".0", 100) == "12345678");
  CHECK(std::filesystem::exists(path + ".1"));
  remove_empty_backups(path, {});
  CHECK(std::filesystem::exists(path + ".0"));
  CHECK_FALSE(std::filesystem::exists(path + ".1"));
}

TEST_CASE("a log that is not appended to starts empty, its backups too") {
  const Folder folder;
  const std::string path = folder.path + "/serial.log";
  {
    const auto log = open_log(path, true, kLimits);
    REQUIRE(write_log(*log, "12345678", kLimits));
    REQUIRE(write_log(*log, "abcdef", kLimits));
  }
  REQUIRE(open_log(path, false, kLimits));
  CHECK(read_file(path, 100)->empty());
  CHECK(read_file(path + ".0", 100)->empty());
}

TEST_CASE("a pipe has no backups, and a backup that is a link is refused") {
  const Folder folder;
  const std::string pipe = folder.path + "/pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(open_log(pipe, true, kLimits)->backups.empty());
  CHECK_FALSE(std::filesystem::exists(pipe + ".0"));
  const std::string path = folder.path + "/linked.log";
  REQUIRE(::symlink("/etc/passwd", (path + ".0").c_str()) == 0);
  const auto refused = open_log(path, true, kLimits);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("linked.log.0") != std::string::npos);
}

}  // namespace lodge
