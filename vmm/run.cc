#include "vmm/run.h"

#include <sys/signalfd.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <optional>

#include "base/log.h"
#include "base/log_outputs.h"
#include "devices/core/char_backend.h"
#include "migration/save_file.h"
#include "vmm/control/machine_target.h"
#include "vmm/control/server.h"
#include "vmm/end_file.h"
#include "vmm/machine/machine.h"
#include "vmm/sandbox/seccomp.h"

namespace lodge {
namespace {

// SIGTERM and SIGINT end the guest at once (as pulling the plug), SIGHUP too; SIGPIPE is an error code, not a death.
Result<Fd> take_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&set, number);
  }
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) {
    return fail_errno(errno, "watch for signals");
  }
  return fd;
}

// A thread that cannot be confined must not run a guest.
void confine(ThreadKind kind) {
  if (const auto outcome = enter_sandbox(kind); !outcome) {
    log_error("sandbox", "{}; --seccomp off runs without", outcome.error().message);
    std::_Exit(1);
  }
}

}  // namespace

namespace {

struct Ending {
  std::string reason = "error";
  int status = 0;
};

Result<Ending> run_until_end(const MachineConfig& config, const SavedGuest* saved) {
  const Fd signals = TRY(take_signals());
  const auto control = TRY(EventLoop::create("control"));
  Ending ending;
  std::unique_ptr<ControlServer> server;
  Machine::Hooks hooks;
  hooks.on_event = [&server](const MachineEvent& event) {
    if (server) {
      server->broadcast(event.name, event.details);
    }
  };
  hooks.on_finished = [&](std::string_view reason, int exit_status) {
    ending = {std::string(reason), exit_status};
    control->stop();
  };
  std::function<Result<void>()> on_viewer_thread;
  if (config.seccomp) {
    on_viewer_thread = [] { return enter_sandbox(ThreadKind::display); };
    hooks.on_vcpu_thread = [] { confine(ThreadKind::vcpu); };
    hooks.on_io_thread = [] { confine(ThreadKind::io); };
  }
  Machine::Restore restore;
  if (saved != nullptr) {
    restore.saved = &saved->state();
    restore.load_ram = [saved](GuestMemory& memory) { return saved->load_ram(memory); };
  }
  auto machine = TRY(Machine::create(config, *control, std::move(hooks), saved != nullptr ? &restore : nullptr));
  const auto watch = control->on_readable(signals.get(), [&] {
    signalfd_siginfo info{};
    if (::read(signals.get(), &info, sizeof info) == sizeof info) {
      log_info("main", "ended by signal {}", info.ssi_signo);
      machine->emit({"SHUTDOWN", {{"guest", "false"}, {"reason", "host-signal"}}});
      ending = {"host-signal", 128 + static_cast<int>(info.ssi_signo)};
      control->stop();
    }
  });
  std::optional<MachineTarget> target;
  if (!config.control.empty() || config.control_fd >= 0) {
    target.emplace(
        *machine, *control,
        [&](const char* reason) {
          machine->emit({"SHUTDOWN", {{"guest", "false"}, {"reason", "host-qmp-quit"}}});
          ending.reason = reason;
          control->stop();
        },
        std::move(on_viewer_thread));
    server = TRY(ControlServer::create(*control, runner(*target), {config.control, Fd(config.control_fd)}));
  }
  if (config.seccomp) {
    confine(ThreadKind::control);
  }
  if (!config.start_paused) {
    machine->resume([](const Result<void>& outcome) {
      if (!outcome) {
        log_error("main", "{}", outcome.error().message);
      }
    });
  }
  control->run();
  server.reset();
  target.reset();
  machine.reset();
  restore_stdio_terminal();
  return ending;
}

}  // namespace

Result<int> run_guest(const MachineConfig& config, const SavedGuest* saved) {
  const EndFile end_file = TRY(EndFile::create(config.end_file, Fd(config.end_fd)));
  const auto ending = run_until_end(config, saved);
  if (!ending) {
    end_file.write("error", 1, ending.error().message);
    return std::unexpected(ending.error());
  }
  end_file.write(ending->reason, ending->status);  // last: images, taps and files are free by now
  return ending->status;
}

Result<void> limit_logs(const MachineConfig& config) {
  for (const LogLimit& wanted : config.log_limits) {
    LogRoom room;
    room.limit = wanted.max_size;
    for (const int fd : wanted.backup_fds) {
      room.backups.emplace_back(fd);
    }
    if (wanted.log == STDERR_FILENO) {
      TRY_VOID(limit_log(std::move(room)));
    } else {
      set_log_room(static_cast<int>(wanted.log), std::move(room));
    }
  }
  return {};
}

}  // namespace lodge
