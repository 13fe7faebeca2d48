#include "vmm/run.h"

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "devices/core/char_backend.h"
#include "vmm/machine/machine.h"

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

}  // namespace

Result<int> run_guest(const MachineConfig& config) {
  const Fd signals = TRY(take_signals());
  const auto control = TRY(EventLoop::create("control"));
  int status = 0;
  Machine::Hooks hooks;
  hooks.on_finished = [&](int exit_status) {
    status = exit_status;
    control->stop();
  };
  auto machine = TRY(Machine::create(config, *control, std::move(hooks), nullptr));
  const auto watch = control->on_readable(signals.get(), [&] {
    signalfd_siginfo info{};
    if (::read(signals.get(), &info, sizeof info) == sizeof info) {
      log_info("main", "ended by signal {}", info.ssi_signo);
      status = 128 + static_cast<int>(info.ssi_signo);
      control->stop();
    }
  });
  if (!config.start_paused) {
    machine->resume([&](const Result<void>& outcome) {
      if (!outcome) {
        log_error("main", "{}", outcome.error().message);
      }
    });
  }
  control->run();
  machine.reset();
  restore_stdio_terminal();
  return status;
}

}  // namespace lodge
