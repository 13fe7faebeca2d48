// lodge-vnc: shows one guest's screen to VNC clients. It ends when the guest's monitor does.
//
// Exit status: 0 when the monitor or a command ended it, 1 for an error, 2 for wrong usage, 128 and the number for a signal.
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>

#include "base/log.h"
#include "vmm/control/client.h"
#include "vmm/control/server.h"
#include "vmm/sandbox/seccomp.h"
#include "vmm/vnc/control.h"
#include "vmm/vnc/listen.h"
#include "vmm/vnc/options.h"

namespace {

using namespace lodge;
using namespace lodge::vnc;

constexpr int kError = 1;
constexpr int kUsage = 2;

int complain(std::string_view text, int status) {
  fmt::print(stderr, "lodge-vnc: {}\n", text);
  return status;
}

Result<Fd> take_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&set, number);
  }
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) {
    return fail_errno(errno, "watch for signals");
  }
  return fd;
}

// Makes a display channel and gives the monitor its end.
Result<Fd> attach(const std::string& monitor) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "make a display channel");
  }
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  constexpr std::string_view kArguments = R"({"fdname": "lodge-vnc"})";
  ControlClient control = TRY(ControlClient::connect(monitor));
  TRY_VOID(control.execute("getfd", kArguments, theirs.get()));
  TRY_VOID(control.execute("attach-display", kArguments));
  return ours;
}

struct Sockets {
  std::vector<Fd> listeners;
  std::vector<UnixListener> paths;
  Fd control;
  Fd display;
};

Result<Sockets> open_sockets(const CommandLine& line) {
  Sockets all;
  for (const std::string& where : line.listen) {
    Listening listening = TRY(listen_at(where));
    std::ranges::move(listening.sockets, std::back_inserter(all.listeners));
    all.paths.push_back(std::move(listening.path));
  }
  for (const int fd : line.listen_fds) {
    all.listeners.push_back(TRY(inherited_listener(fd, "--listen-fd")));
  }
  if (line.control_fd >= 0) {
    all.control = TRY(inherited_listener(line.control_fd, "--control-fd"));
  }
  all.display = line.display_fd >= 0 ? Fd(line.display_fd) : TRY(attach(line.monitor));
  return all;
}

Result<std::shared_ptr<TlsCredentials>> load_certificates(const CommandLine& line) {
  if (line.tls_folder.empty() && !line.tls_fds) {
    return nullptr;
  }
  return TlsCredentials::load(
      line.tls_fds ? TRY(read_tls_descriptors(*line.tls_fds)) : TRY(read_tls_folder(line.tls_folder)),
      line.tls_verify_clients);
}

Result<int> run(const CommandLine& line) {
  const Fd signals = TRY(take_signals());
  auto tls = TRY(load_certificates(line));
  Sockets sockets = TRY(open_sockets(line));
  prepare_ciphers();
  const auto loop = TRY(EventLoop::create("vnc"));
  int status = 0;
  std::unique_ptr<ControlServer> control;
  VncServer::Hooks hooks;
  hooks.event = [&control](std::string_view name, uint64_t client, std::string_view address) {
    if (control) {
      control->broadcast(name, {{"client", std::to_string(client)}, {"address", std::string(address)}});
    }
  };
  hooks.ended = [&](const std::string& why) {
    if (!why.empty()) {
      log_error("vnc", "the monitor's display channel is given up: {}", why);
      status = kError;
    }
    loop->stop();
  };
  const auto server =
      TRY(VncServer::create(*loop, {line.name, line.share, line.password_required, line.seccomp, std::move(tls)},
                            std::move(sockets.display), std::move(hooks)));
  const auto watch = loop->on_readable(signals.get(), [&] {
    signalfd_siginfo info{};
    if (::read(signals.get(), &info, sizeof info) == sizeof info) {
      status = 128 + static_cast<int>(info.ssi_signo);
      loop->stop();
    }
  });
  for (Fd& listener : sockets.listeners) {
    server->listen(std::move(listener));
  }
  if (sockets.control.valid()) {
    control = TRY(ControlServer::create(*loop, control_commands(*server, [&loop] { loop->stop(); }),
                                        {"", std::move(sockets.control)}));
  }
  if (line.seccomp) {
    TRY_VOID(enter_sandbox(ThreadKind::vnc_server));
  }
  loop->run();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const auto line = parse_command_line({argv + 1, argv + argc});
  if (!line) {
    return complain(line.error().message, kUsage);
  }
  if (line->help) {
    fmt::print("{}", help_text());
    return 0;
  }
  log_init(line->name, line->log_level);
  const auto status = run(*line);
  return status ? *status : complain(status.error().message, kError);
}
