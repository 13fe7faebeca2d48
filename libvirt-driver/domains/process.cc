#include "libvirt-driver/domains/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>

namespace lodge {
namespace {

constexpr int kParked = 512;  // where descriptors wait while the low numbers are given out
constexpr int kExecFailed = 127;

// Field 22 of /proc/PID/stat; the program's name before it may hold anything but ends at the last parenthesis.
Result<uint64_t> start_time_of(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  const std::string text = TRY(read_file(path, 4096));
  size_t at = text.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) {
    at = text.find(' ', at + 1);
  }
  uint64_t value = 0;
  if (at == std::string::npos || std::from_chars(text.data() + at + 1, text.data() + text.size(), value).ec != std::errc()) {
    return fail("{} cannot be understood", path);
  }
  return value;
}

Result<Fd> open_pidfd(pid_t pid) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) {
    return fail_errno(errno, "watch process {}", pid);
  }
  return fd;
}

struct Pipe {
  Fd out;
  Fd in;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "create a pipe");
  }
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// Out of the way of the numbers that the child gives out.
Result<Fd> park(int fd) {
  Fd parked(::fcntl(fd, F_DUPFD_CLOEXEC, kParked));
  if (!parked.valid()) {
    return fail_errno(errno, "duplicate descriptor {}", fd);
  }
  return parked;
}

// All that the child needs, made before: between clone and exec it may not allocate, the daemon has other threads.
struct ChildPlan {
  std::vector<char*> arguments;
  std::array<char*, 3> environment{};
  std::vector<int> fds;  // standard ones first, all parked
  int gate = -1;
  int report = -1;
  std::optional<Account> account;
};

// The system calls themselves: the C library's functions would have the daemon's other threads follow, which are not here.
bool become(const Account& account) {
  // Guest memory is pinned for disks (io_uring's registered buffers), which root may without end.
  constexpr rlimit kUnlimited{RLIM_INFINITY, RLIM_INFINITY};
  ::syscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, &kUnlimited, nullptr);
  return ::syscall(SYS_setgroups, 0, nullptr) == 0 && ::syscall(SYS_setresgid, account.gid, account.gid, account.gid) == 0 &&
         ::syscall(SYS_setresuid, account.uid, account.uid, account.uid) == 0;
}

[[noreturn]] void run_child(const ChildPlan& plan) {
  ::setsid();
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) {
    ::sigaction(number, &usual, nullptr);
  }
  const int count = static_cast<int>(plan.fds.size());
  for (int i = 0; i < count; ++i) {
    ::dup2(plan.fds[static_cast<size_t>(i)], i);
  }
  ::dup3(plan.gate, count, O_CLOEXEC);
  ::dup3(plan.report, count + 1, O_CLOEXEC);
  // Sockets of clients above all: one that a monitor held would not close when the daemon dies. And other children's gates.
  ::close_range(static_cast<unsigned>(count) + 2, ~0U, 0);
  char byte = 0;
  if (::read(count, &byte, 1) != 1) {
    ::_exit(kExecFailed);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!plan.account || become(*plan.account)) {
    ::execve(plan.arguments.front(), plan.arguments.data(), plan.environment.data());
  }
  const int code = errno;
  (void)!::write(count + 1, &code, sizeof code);
  ::_exit(kExecFailed);
}

}  // namespace

Result<Spawned> spawn(const SpawnRequest& request) {
  const std::string& program = request.command.front();
  std::vector<Fd> parked;
  const Fd null = TRY(open_file("/dev/null", O_RDONLY));
  parked.push_back(TRY(park(null.get())));
  parked.push_back(TRY(park(request.output)));
  parked.push_back(TRY(park(request.output)));
  for (const int fd : request.fds) {
    parked.push_back(TRY(park(fd)));
  }
  Pipe gate = TRY(make_pipe());
  Pipe report = TRY(make_pipe());
  const Fd gate_out = TRY(park(gate.out.get()));
  const Fd report_in = TRY(park(report.in.get()));
  std::array<char, 70> path{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  std::array<char, 9> language{"LC_ALL=C"};
  ChildPlan plan;
  plan.environment = {path.data(), language.data(), nullptr};
  plan.gate = gate_out.get();
  plan.report = report_in.get();
  plan.account = request.account;
  for (const std::string& argument : request.command) {
    plan.arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  plan.arguments.push_back(nullptr);
  for (const Fd& fd : parked) {
    plan.fds.push_back(fd.get());
  }
  int pidfd = -1;
  clone_args how{};
  how.flags = CLONE_PIDFD;
  how.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  how.exit_signal = SIGCHLD;
  // The daemon's handlers must not run in the child.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
  const int code = errno;
  if (pid == 0) {
    run_child(plan);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    return fail_errno(code, "start '{}'", program);
  }
  Spawned spawned;
  spawned.process.pid = pid;
  spawned.process.pidfd = Fd(pidfd);
  spawned.process.start_time = TRY(start_time_of(pid));
  spawned.gate = std::move(gate.in);
  spawned.report = std::move(report.out);
  return spawned;
}

Result<void> let_run(Spawned& spawned, const std::string& program) {
  const char byte = 1;
  TRY_VOID_CONTEXT(write_all(spawned.gate.get(), {&byte, 1}), fmt::format("start '{}'", program));
  spawned.gate.reset();
  int code = 0;
  ssize_t got = 0;
  do {
    got = ::read(spawned.report.get(), &code, sizeof code);
  } while (got < 0 && errno == EINTR);
  if (got != 0) {
    return fail_errno(got == sizeof code ? code : errno, "start '{}'", program);
  }
  return {};
}

Result<Process> find_process(pid_t pid, uint64_t start_time) {
  Process process;
  process.pid = pid;
  process.pidfd = TRY(open_pidfd(pid));
  process.start_time = TRY(start_time_of(pid));  // after pidfd_open: what is watched is what is compared
  if (process.start_time != start_time) {
    return fail("process {} is another one now", pid);
  }
  return process;
}

bool wait_for_end(const Process& process, int milliseconds) {
  pollfd watched{process.pidfd.get(), POLLIN, 0};
  if (::poll(&watched, 1, milliseconds) <= 0) {
    return false;
  }
  siginfo_t info{};
  ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process.pidfd.get()), &info, WEXITED | WNOHANG);
  return true;
}

void kill_process(const Process& process, int signal) {
  ::syscall(SYS_pidfd_send_signal, process.pidfd.get(), signal, nullptr, 0);
}

Result<void> run_script(const std::string& program, const std::string& script) {
  constexpr int kPatience = 10'000;  // ms
  constexpr uint64_t kMostSaid = 4096;
  const Fd input(::memfd_create("script", MFD_CLOEXEC));
  const Fd output(::memfd_create("output", MFD_CLOEXEC));
  if (!input.valid() || !output.valid()) {
    return fail_errno(errno, "start '{}'", program);
  }
  TRY_VOID(write_all(input.get(), script));
  ::lseek(input.get(), 0, SEEK_SET);
  Spawned spawned = TRY(spawn(
      {.command = {program, "-batch", "/proc/self/fd/3"}, .fds = {input.get()}, .output = output.get(), .account = {}}));
  TRY_VOID(let_run(spawned, program));
  pollfd watched{spawned.process.pidfd.get(), POLLIN, 0};
  const bool ended = ::poll(&watched, 1, kPatience) > 0;
  if (!ended) {
    kill_process(spawned.process, SIGKILL);
  }
  siginfo_t info{};
  ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(spawned.process.pidfd.get()), &info, WEXITED);
  if (!ended || info.si_code != CLD_EXITED || info.si_status != 0) {
    const auto said = read_file(fmt::format("/proc/self/fd/{}", output.get()), kMostSaid);
    return fail("{}: {}", program,
                !ended                   ? "it does not end"
                : said && !said->empty() ? *said
                                         : "it failed and said nothing");
  }
  return {};
}

}  // namespace lodge
