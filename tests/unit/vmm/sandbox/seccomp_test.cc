#include "vmm/sandbox/seccomp.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/io/loop_thread.h"
#include "base/log.h"

namespace lodge {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kEnabled = false;
#else
constexpr bool kEnabled = true;
#endif

constexpr std::array kAllKinds{ThreadKind::control, ThreadKind::vcpu,       ThreadKind::io,
                               ThreadKind::display, ThreadKind::vnc_server, ThreadKind::vnc_client};

struct Outcome {
  int status = 0;  // exit status, or 1000 + signal
  std::string output;
};

// Runs `work` in a process of its own, inside the sandbox.
Outcome inside(ThreadKind kind, const std::function<int()>& work) {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(fds[1], STDERR_FILENO);
    struct sigaction fresh{};
    fresh.sa_handler = SIG_DFL;
    for (const int number : {SIGSEGV, SIGABRT}) {
      ::sigaction(number, &fresh, nullptr);
    }
    ::_exit(enter_sandbox(kind) ? work() : 99);
  }
  ::close(fds[1]);
  const Fd reader(fds[0]);
  Outcome outcome;
  char bytes[1000];
  for (ssize_t n = 0; (n = ::read(reader.get(), bytes, sizeof bytes)) > 0;) {
    outcome.output.append(bytes, static_cast<size_t>(n));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  return outcome;
}

int use_memory_and_log() {
  std::vector<std::vector<char>> blocks;
  for (size_t i = 0; i < 1000; ++i) {
    blocks.emplace_back(i * 1000, 'x');
  }
  blocks.clear();
  log_warning("test", "a line with the time of day");
  return 0;
}

}  // namespace

TEST_CASE("Threads of every kind can do ordinary work inside the sandbox") {
  for (const ThreadKind kind : kAllKinds) {
    const Outcome outcome = inside(kind, use_memory_and_log);
    INFO(outcome.output);
    CHECK(outcome.status == 0);
    CHECK(outcome.output.find("a line with") != std::string::npos);
  }
}

TEST_CASE("A forbidden call ends the process with a line that names it") {
  if (!kEnabled) {
    return;
  }
  for (const ThreadKind kind : kAllKinds) {
    const Outcome outcome = inside(kind, [] { return static_cast<int>(::syscall(SYS_ptrace, 0, 0, 0, 0)); });
    CHECK(outcome.status == 159);
    CHECK(outcome.output.find("system call 101 is not allowed") != std::string::npos);
  }
}

TEST_CASE("What an attacker wants is refused on every thread") {
  if (!kEnabled) {
    return;
  }
  constexpr size_t kFork = 1;  // which lodge-vnc's server may
  const std::vector<std::function<int()>> wishes = {
      [] { return ::execl("/bin/true", "true", nullptr); },
      [] { return static_cast<int>(::fork()); },
      [] { return ::socket(AF_INET, SOCK_STREAM, 0); },
      [] { return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 1 : 0; },
      [] { return ::setuid(0); },
      [] { return static_cast<int>(::syscall(SYS_tgkill, 1, 1, 0)); },
      [] { return static_cast<int>(::syscall(SYS_ioctl, 0, 0x5412, "x")); },  // TIOCSTI: types into the terminal
      [] { return static_cast<int>(::syscall(SYS_io_uring_setup, 4, nullptr)); },
      [] { return static_cast<int>(::syscall(0x40000000 + SYS_getpid)); },  // through the x32 ABI
  };
  for (const ThreadKind kind : kAllKinds) {
    for (size_t i = 0; i < wishes.size(); ++i) {
      INFO("wish " << i);
      if (i != kFork || kind != ThreadKind::vnc_server) {
        CHECK(inside(kind, wishes[i]).status == 159);
      }
    }
  }
  for (const ThreadKind kind : kAllKinds) {
    if (kind != ThreadKind::control && kind != ThreadKind::display) {
      CHECK(inside(kind, [] { return ::open("/dev/null", O_RDONLY); }).status == 159);
    }
  }
}

TEST_CASE("A viewer's thread, which control starts, gives up what control may") {
  if (!kEnabled) {
    return;
  }
  const Outcome outcome = inside(ThreadKind::control, [] {
    std::thread([] {
      if (enter_sandbox(ThreadKind::display) && ::open("/dev/null", O_RDONLY) < 0 && errno == EACCES) {
        ::syscall(SYS_unlink, "/nowhere");
      }
    }).join();
    return 0;
  });
  CHECK(outcome.status == 159);
  CHECK(outcome.output.find("not allowed on a display thread") != std::string::npos);
}

TEST_CASE("A viewer's thread takes and gives back memory for pictures") {
  const Outcome outcome = inside(ThreadKind::control, [] {
    int result = 1;
    std::thread([&result] {
      if (enter_sandbox(ThreadKind::display)) {
        for (int i = 0; i < 20; ++i) {
          result = use_memory_and_log() + static_cast<int>(std::vector<char>(20U << 20).front());
        }
      }
    }).join();
    return result;
  });
  INFO(outcome.output);
  CHECK(outcome.status == 0);
}

TEST_CASE("Control can start threads and write files inside the sandbox") {
  const Outcome outcome = inside(ThreadKind::control, [] {
    int result = 1;
    std::thread([&] { result = use_memory_and_log(); }).join();
    const int fd = ::open("/dev/null", O_RDWR);
    return result + (fd < 0 ? 1 : 0);
  });
  INFO(outcome.output);
  CHECK(outcome.status == 0);
}

TEST_CASE("An event loop made before runs inside the sandbox") {
  const Outcome outcome = inside(ThreadKind::control, [] { return 0; });
  CHECK(outcome.status == 0);
  const auto with_loop = [](ThreadKind kind) {
    const auto loop = std::move(*EventLoop::create("test"));
    if (!enter_sandbox(kind)) {
      return 98;
    }
    const EventFd event = std::move(*EventFd::create());
    int seen = 0;
    const auto watch = loop->on_readable(event.get(), [&] { seen += static_cast<int>(event.drain()); });
    event.signal();
    for (int i = 0; i < 10; ++i) {
      loop->run_once(std::chrono::milliseconds(1));
    }
    return seen == 1 ? 0 : 1;
  };
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(with_loop(ThreadKind::io));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("An assertion still aborts inside the sandbox") {
  const Outcome outcome = inside(ThreadKind::io, [] {
    std::abort();
    return 0;
  });
  CHECK(outcome.status == 1000 + SIGABRT);
}

}  // namespace lodge
