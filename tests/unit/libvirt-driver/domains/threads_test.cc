#include "libvirt-driver/domains/threads.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

namespace lodge {
namespace {

// A process that waits, as a monitor would.
class Sleeper {
 public:
  Sleeper() {
    null_ = *open_file("/dev/null", O_WRONLY);
    spawned_ = *spawn({.command = {"/bin/sleep", "1000"}, .fds = {}, .output = null_.get(), .account = {}});
    REQUIRE(let_run(spawned_, "sleep"));
  }
  ~Sleeper() { end(); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  [[nodiscard]] const Process& process() const { return spawned_.process; }
  void end() const {
    kill_process(process(), SIGKILL);
    (void)wait_for_end(process(), 10000);
  }

 private:
  Fd null_;
  Spawned spawned_;
};

Json told(int64_t thread) { return Json::array({{{"cpu-index", 3}, {"thread-id", thread}}}); }

}  // namespace

TEST_CASE("a thread that a monitor names must be its own") {
  const Sleeper monitor;
  const Sleeper other;
  const pid_t own = monitor.process().pid;
  const auto threads = threads_in(monitor.process(), told(own));
  REQUIRE(threads);
  CHECK(threads->vcpus.at(3) == own);
  CHECK(threads->others.empty());
  for (const int64_t named :
       {int64_t{other.process().pid}, int64_t{::getpid()}, int64_t{1}, int64_t{0}, int64_t{-1}, int64_t{own} << 32}) {
    INFO(named);
    const auto refused = threads_in(monitor.process(), told(named));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == VIR_ERR_OPERATION_FAILED);
  }
}

TEST_CASE("answers of another shape name no threads") {
  const Sleeper monitor;
  for (const char* text : {"5", "[]", "{}", "[1, \"2\", null]", "nonsense"}) {
    const auto threads = threads_in(monitor.process(), parse_json(text));
    REQUIRE(threads);
    CHECK(threads->vcpus.empty());
    CHECK(threads->others == std::vector<pid_t>{monitor.process().pid});
  }
  CHECK_FALSE(threads_in(monitor.process(), parse_json(R"([{"cpu-index": "0", "thread-id": "1"}])")));
}

TEST_CASE("a process that has ended has no threads") {
  const Sleeper monitor;
  CHECK(is_thread_of(monitor.process(), monitor.process().pid));
  monitor.end();
  CHECK_FALSE(is_thread_of(monitor.process(), monitor.process().pid));
}

}  // namespace lodge
