#include "libvirt-driver/domains/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <filesystem>

namespace lodge {
namespace {

constexpr int kFirstInherited = 3;
constexpr std::string_view kMark = "LODGE_RUN_FOLDER=";
constexpr int kParked = 512;  // where descriptors wait while the low numbers are given out

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

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  void put(int fd, int as) { ::posix_spawn_file_actions_adddup2(&actions_, fd, as); }
  // Sockets of clients above all: one that a monitor held would not close when the daemon dies.
  void close_from(int fd) { ::posix_spawn_file_actions_addclosefrom_np(&actions_, fd); }
  void null_input() { ::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

class Attributes {
 public:
  Attributes() {
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  [[nodiscard]] const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

Result<Fd> open_pidfd(pid_t pid) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) {
    return fail_errno(errno, "watch process {}", pid);
  }
  return fd;
}

}  // namespace

Result<Process> spawn(const SpawnRequest& request) {
  FileActions actions;
  actions.null_input();
  actions.put(request.output, 1);
  actions.put(request.output, 2);
  std::vector<Fd> parked;
  for (const int fd : request.fds) {
    parked.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kParked));
    if (!parked.back().valid()) {
      return fail_errno(errno, "pass descriptors to '{}'", request.command.front());
    }
    actions.put(parked.back().get(), kFirstInherited + static_cast<int>(parked.size()) - 1);
  }
  actions.close_from(kFirstInherited + static_cast<int>(parked.size()));
  std::vector<char*> arguments;
  arguments.reserve(request.command.size() + 1);
  for (const std::string& argument : request.command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char language[] = "LC_ALL=C";
  std::string mark = fmt::format("{}{}", kMark, request.folder);
  char* environment[] = {path, language, mark.data(), nullptr};
  const Attributes attributes;
  Process process;
  const int code = ::posix_spawn(&process.pid, request.command.front().c_str(), actions.get(), attributes.get(),
                                 arguments.data(), environment);
  if (code != 0) {
    return fail_errno(code, "start '{}'", request.command.front());
  }
  // Our child cannot vanish before it is waited for, so its number is right.
  process.pidfd = TRY(open_pidfd(process.pid));
  process.start_time = TRY(start_time_of(process.pid));
  return process;
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

std::vector<Process> marked_processes(const std::string& folder) {
  std::vector<Process> found;
  const std::string wanted = fmt::format("{}{}/", kMark, folder);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size()) {
      continue;
    }
    const auto environment = read_file(entry.path().string() + "/environ", 65536);
    if (!environment || environment->find(wanted) == std::string::npos) {
      continue;
    }
    const auto start_time = start_time_of(pid);
    auto process = start_time ? find_process(pid, *start_time) : Result<Process>(std::unexpected(start_time.error()));
    if (process) {
      found.push_back(std::move(*process));
    }
  }
  return found;
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

}  // namespace lodge
