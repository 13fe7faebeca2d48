// Driver's part in display servers: starting them, starting them again, and telling them things.
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "libvirt-driver/domains/display_change.h"
#include "libvirt-driver/domains/driver.h"
#include "libvirt-driver/xml/domain_defaults.h"

namespace lodge {
namespace {

// A guest that ends takes its server with it, which may be seen first.
constexpr int kGuestEndPatience = 300;  // ms

// io_uring lets go of a server's sockets a moment after its end.
constexpr std::chrono::milliseconds kPortPatience(1000);
constexpr std::chrono::milliseconds kPortPause(20);

struct Channel {
  Fd monitor;
  Fd server;
};

Result<Channel> make_channel() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "create the display channel");
  }
  return Channel{Fd(ends[0]), Fd(ends[1])};
}

Json password_json(const DisplayPassword& wanted) {
  Json json{{"password", wanted.password ? Json(*wanted.password) : Json()}};
  if (wanted.expires) {
    json["expires"] = *wanted.expires;
  }
  return json;
}

// As open_display, at ports that a server which has ended had.
Answer<DisplayFiles> open_display_again(DomainConfig& live, const std::string& folder, const DisplayOptions& options) {
  const auto patience = std::chrono::steady_clock::now() + kPortPatience;
  while (true) {
    auto files = open_display(live, folder, options);
    if (files || std::chrono::steady_clock::now() > patience) {
      return files;
    }
    std::this_thread::sleep_for(kPortPause);
  }
}

std::vector<Fd> only(Fd fd) {
  std::vector<Fd> fds;
  fds.push_back(std::move(fd));
  return fds;
}

// What stays as it is while the guest runs, in libvirt's words.
Answer<void> check_rest(const DomainGraphics& there, const DomainGraphics& wanted) {
  const auto fixed = [](std::string_view what) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "cannot change {} on vnc graphics", what);
  };
  if (wanted.autoport != there.autoport || (wanted.autoport != YesNo::yes && wanted.port != there.port)) {
    return fixed("port settings");
  }
  if (wanted.keymap != there.keymap) {
    return fixed("keymap setting");
  }
  if (wanted.share_policy != there.share_policy) {
    return fixed("sharePolicy setting");
  }
  if (wanted.listens.size() != there.listens.size()) {
    return fixed("listen address setting");
  }
  for (size_t i = 0; i < wanted.listens.size(); ++i) {
    const GraphicsListen& new_one = wanted.listens[i];
    const GraphicsListen& old_one = there.listens[i];
    if (new_one.type != old_one.type || (!new_one.address.empty() && new_one.address != old_one.address) ||
        (!new_one.socket.empty() && new_one.socket != old_one.socket)) {
      return fixed("listen address setting");
    }
  }
  return {};
}

}  // namespace

Answer<Json> Driver::ask_display(const std::string& guest, const Run& run, const std::string& verb, const Json& arguments,
                                 std::optional<Fd> fd) {
  auto socket = connect_unix(run.folder + std::string(kDisplayControl));
  if (!socket) {
    return call_error(VIR_ERR_OPERATION_FAILED, "the display server of domain '{}' cannot be reached: {}", guest,
                      socket.error().message);
  }
  const auto control = Monitor::create(network_, std::move(*socket), guest,
                                       {.on_event = [](const std::string&, const Json&) {}, .on_closed = [] {}});
  const auto ask = [&]() -> Answer<Json> {
    if (fd) {
      TRY(control->execute("getfd", {{"fdname", text_in(arguments, "fdname")}}, only(std::move(*fd)), Monitor::kPatience));
    }
    return control->execute(verb, arguments);
  };
  auto answer = ask();
  control->close();
  return answer;
}

Answer<void> Driver::start_display(Run& run, const DomainConfig& live, DisplayFiles files, int log,
                                   const std::function<Result<void>()>& record) {
  const DisplayOptions& options = options_.display;
  Channel channel = TRY(make_channel());
  constexpr const char* kName = "display-vnc";
  TRY(run.monitor->execute("getfd", {{"fdname", kName}}, only(std::move(channel.monitor)), Monitor::kPatience));
  TRY(run.monitor->execute("attach-display", {{"fdname", kName}}));
  SpawnRequest request{.command = display_command(paths().monitor, live, options, files.listeners.size()),
                       .fds = {channel.server.get()},
                       .output = log,
                       .account = options_.account};
  for (const Fd& listener : files.listeners) {
    request.fds.push_back(listener.get());
  }
  request.fds.push_back(files.control.get());
  for (const Fd& certificate : files.certificates) {
    request.fds.push_back(certificate.get());
  }
  Spawned spawned = TRY(spawn(request));
  if (const auto placed = run.cgroup.add(spawned.process.pid); !placed) {
    log_warning("domain", "'{}': its display server runs in the daemon's control group: {}", live.name,
                placed.error().message);
  }
  if (!run.display.set(std::move(spawned.process))) {
    return call_error(VIR_ERR_OPERATION_FAILED, "domain '{}' has ended", live.name);
  }
  TRY_VOID(record());  // before it runs: a daemon that comes after us must know of it
  TRY_VOID(let_run(spawned, request.command.front()));
  if (const auto wanted = password_of(live.devices.graphics.front(), options); wanted.password) {
    TRY(ask_display(live.name, run, "set-password", password_json(wanted), std::nullopt));
  }
  return {};
}

void Driver::watch_display(const DomainPtr& domain, const std::shared_ptr<Run>& run) {
  auto pidfd = run->display.watch();
  if (pidfd) {
    when_ended(std::move(*pidfd), [this, domain, run] { display_ended(domain, run); });
  }
}

void Driver::display_ended(const DomainPtr& domain, const std::shared_ptr<Run>& run) {
  const bool again = run->display.ended();
  const DomainView view = domain->view();
  if (view.run != run || run->stop_reason != 0 || wait_for_end(run->process, kGuestEndPatience)) {
    return;
  }
  if (!again) {
    log_error("domain", "'{}': its display server ends again and again; it has none until it starts anew. Its log: {}",
              view.name, run->log_file);
    return;
  }
  log_warning("domain", "'{}': its display server has ended; it is started again", view.name);
  restart_display(domain, run);
}

void Driver::restart_display(const DomainPtr& domain, const std::shared_ptr<Run>& run) {
  const DomainView view = domain->view();
  if (view.run != run || !view.live || view.live->devices.graphics.empty()) {
    return;
  }
  const auto start = [&]() -> Answer<void> {
    DomainConfig live = *view.live;
    live.devices.graphics.front().autoport = YesNo::no;  // where people know it to be
    DisplayFiles files = TRY(open_display_again(live, run->folder, options_.display));
    const Fd log = TRY(open_file(run->log_file, O_WRONLY | O_APPEND));
    return start_display(*run, live, std::move(files), log.get(), [&]() -> Result<void> {
      write_status(domain);
      return {};
    });
  };
  if (const auto started = start(); !started) {
    log_error("domain", "'{}': its display server does not start: {}", view.name, started.error().message());
  }
  watch_display(domain, run);
}

Answer<void> change_graphics(Driver& driver, const DomainPtr& domain, const DomainGraphics& wanted) {
  const DomainView view = domain->view();
  const auto run = TRY(Driver::running(view));
  const auto there = std::get<DomainGraphics>(TRY(find_device(*view.live, wanted)));
  TRY_VOID(check_rest(there, wanted));
  DomainGraphics changed = there;
  if (wanted.no_login || !wanted.password.empty()) {  // a document without secrets has none, and means none
    changed.password = wanted.password;
    changed.no_login = wanted.no_login;
  }
  changed.password_valid_to = wanted.password_valid_to;
  const DisplayOptions& options = driver.options().display;
  const DisplayPassword password = password_of(changed, options);
  if (password.required && !password_of(there, options).required) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED,
                      "domain '{}' was started without a VNC password; it can have one after its next start", view.name);
  }
  DomainConfig live = *view.live;
  live.devices.graphics.front() = changed;
  TRY_VOID(check(live));
  if (password.required) {
    TRY(driver.ask_display(view.name, *run, "set-password", password_json(password), std::nullopt));
  }
  driver.replace_live(domain, std::move(live));
  return {};
}

}  // namespace lodge
