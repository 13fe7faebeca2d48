#include "base/rotating_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

namespace lodge {
namespace {

class Folder {
 public:
  Folder() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }
  [[nodiscard]] std::string text(std::string_view name) const { return *read_file(path(name), 1 << 20); }
  [[nodiscard]] RotatingFile open(uint64_t limit, int backups) const {
    LogRoom room{limit, {}};
    for (int i = 0; i < backups; ++i) {
      room.backups.push_back(*open_file(path(fmt::format("log.{}", i)), O_RDWR | O_CREAT));
    }
    return {*open_file(path("log"), O_RDWR | O_CREAT | O_APPEND), std::move(room)};
  }

 private:
  std::string path_ = "/tmp/lodge-rotating-XXXXXX";
};

}  // namespace

TEST_CASE("rotating_file_keeps_to_its_limit_and_its_backups_have_what_came_before") {
  const Folder folder;
  auto file = folder.open(8, 2);
  for (const char* text : {"aaaa", "bbbb", "cccc", "dddd", "eeee"}) {
    REQUIRE(file.write(text));
  }
  CHECK(folder.text("log") == "eeee");
  CHECK(folder.text("log.0") == "ccccdddd");
  CHECK(folder.text("log.1") == "aaaabbbb");
  REQUIRE(file.write("ffffgggghhhh"));
  CHECK(folder.text("log") == "gggghhhh");
  CHECK(folder.text("log.0") == "eeeeffff");
  CHECK(folder.text("log.1") == "ccccdddd");
}

TEST_CASE("rotating_file_is_cut_behind_a_whole_line_if_one_ends_near") {
  const Folder folder;
  auto file = folder.open(10, 1);
  REQUIRE(file.write("one\ntwo\nthree\n"));
  CHECK(folder.text("log.0") == "one\ntwo\n");
  CHECK(folder.text("log") == "three\n");
}

TEST_CASE("rotating_file_takes_a_text_larger_than_all_its_files") {
  const Folder folder;
  auto file = folder.open(100, 3);
  REQUIRE(file.write(std::string(12345, 'x')));
  for (const char* name : {"log", "log.0", "log.1", "log.2"}) {
    CHECK(folder.text(name).size() <= 100);
  }
  CHECK(folder.text("log").size() == 45);
}

TEST_CASE("rotating_file_without_backups_starts_over_and_without_limit_grows") {
  const Folder folder;
  {
    auto file = folder.open(4, 0);
    REQUIRE(file.write("aaaabb"));
    CHECK(folder.text("log") == "bb");
  }
  auto file = folder.open(0, 2);
  REQUIRE(file.write(std::string(100000, 'x')));
  CHECK(folder.text("log").size() == 100002);
  CHECK(folder.text("log.0").empty());
}

TEST_CASE("rotating_file_counts_what_was_there_and_sees_that_others_cut_it") {
  const Folder folder;
  {
    auto before = folder.open(100, 0);
    REQUIRE(before.write("123456"));
  }
  auto file = folder.open(8, 1);
  REQUIRE(file.write("ab"));
  REQUIRE(::truncate(folder.path("log").c_str(), 0) == 0);  // as logrotate's copytruncate
  REQUIRE(file.write("cdefgh"));
  CHECK(folder.text("log") == "cdefgh");
  CHECK(folder.text("log.0").empty());
  REQUIRE(file.write("ijkl"));
  CHECK(folder.text("log.0") == "cdefghij");
  CHECK(folder.text("log") == "kl");
}

TEST_CASE("rotating_file_whose_backup_takes_nothing_still_keeps_to_its_limit") {
  const Folder folder;
  LogRoom room{4, {}};
  room.backups.push_back(*open_file("/dev/full", O_RDWR));
  RotatingFile file(*open_file(folder.path("log"), O_RDWR | O_CREAT | O_APPEND), std::move(room));
  REQUIRE(file.write("aaaabbbbcc"));
  CHECK(folder.text("log") == "cc");
}

TEST_CASE("rotating_file_on_a_pipe_has_no_limit_and_tells_of_errors") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  const Fd reader(ends[0]);
  RotatingFile file(Fd(ends[1]), LogRoom{4, {}});
  REQUIRE(file.write("aaaabbbb"));
  char got[16];
  CHECK(::read(reader.get(), got, sizeof got) == 8);
  RotatingFile full(*open_file("/dev/full", O_WRONLY), {});
  CHECK(full.write("x").error().code == ENOSPC);
}

TEST_CASE("log_room_is_taken_once") {
  set_log_room(12345, {7, {}});
  CHECK(take_log_room(12345).limit == 7);
  CHECK(take_log_room(12345).limit == 0);
}

}  // namespace lodge
