// Starting guests.
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/log.h"
#include "libvirt-driver/domains/affinity.h"
#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/domains/driver.h"
#include "libvirt-driver/domains/guest_files.h"
#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/domains/network_ports.h"
#include "libvirt-driver/domains/tuning.h"
#include "libvirt-driver/domains/vcpus.h"
#include "libvirt-driver/xml/domain_defaults.h"

namespace lodge {
namespace {

constexpr std::chrono::seconds kGreetingPatience{60};  // guest memory may have to be allocated first
constexpr size_t kLogTail = 2000;                      // bytes of what a failed monitor said that go into the error

// A file in memory that holds the machine's description: nothing on a disk, nothing to remove.
Result<Fd> memory_file(const std::string& text) {
  Fd fd(::memfd_create("machine.json", MFD_CLOEXEC));
  if (!fd.valid()) {
    return fail_errno(errno, "create the machine's description");
  }
  TRY_VOID(write_all(fd.get(), text));
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

// What the monitor said since `offset`, its last lines.
std::string log_tail(int fd, off_t offset) {
  const off_t end = ::lseek(fd, 0, SEEK_END);
  const off_t begin = std::max<off_t>(offset, end - static_cast<off_t>(kLogTail));
  std::string text(static_cast<size_t>(std::max<off_t>(0, end - begin)), 0);
  const ssize_t got = ::pread(fd, text.data(), text.size(), begin);
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, got)));
  while (text.ends_with('\n')) {
    text.pop_back();
  }
  return text;
}

}  // namespace

// One start, from the checked definition to the running guest. What is made on the way is undone by fail().
class Starter {
 public:
  Starter(Driver& driver, DomainPtr domain, DomainConfig live)
      : driver_(driver), domain_(std::move(domain)), live_(std::move(live)) {}

  Answer<void> start(uint32_t flags, const std::shared_ptr<rpc::Session>& session) {
    run_ = std::make_shared<Run>();
    run_->id = driver_.next_id_++;
    live_.id = run_->id;
    for (const std::string& name : leave_out(live_)) {
      log_info("domain", "'{}' starts without its {}: there is no such device yet", live_.name, name);
    }
    assign_aliases(live_);
    enter_vcpus(live_);
    for (DomainInterface& interface : live_.devices.interfaces) {
      interface.source.portid = {};  // in what a client has of a guest that runs it is that guest's
    }
    run_->folder = fmt::format("{}/{}-{}", driver_.paths().run, run_->id, live_.name.substr(0, 40));
    run_->log_file = fmt::format("{}/{}.log", driver_.paths().log, live_.name);
    auto outcome = prepare((flags & VIR_DOMAIN_START_RESET_NVRAM) != 0);
    if (outcome) {
      outcome = launch();
    }
    if (outcome && !live_.devices.graphics.empty()) {
      outcome = driver_.start_display(*run_, live_, std::move(display_), files_.log().file.get(),
                                      [this] { return write_record(); });
    }
    if (outcome) {
      outcome = publish(flags, session);
    }
    if (!outcome) {
      undo();
    }
    return outcome;
  }

 private:
  Answer<void> prepare(bool reset_nvram) {
    TRY_VOID(make_folder(run_->folder, 0700));
    TRY_VOID(files_.open_monitor_log(run_->log_file, driver_.options().logs));
    for (DomainInterface& interface : live_.devices.interfaces) {
      TRY_VOID(driver_.networks().plug(live_, interface));
    }
    TRY_VOID(files_.open(live_, run_->folder, driver_.options().logs,
                         {.afresh = reset_nvram, .account = driver_.options().account}));
    const Json machine = TRY(machine_json(live_, files_.numbers()));
    display_ = TRY(open_display(live_, run_->folder, driver_.options().display));
    const std::string text = machine.dump(-1, ' ', false, Json::error_handler_t::replace);
    description_ = files_.inherit(TRY(memory_file(text)));
    TRY_VOID(write_log(files_.log(),
                       fmt::format("{}: starting domain '{}', id {}\n{}\n", now_text(), live_.name, run_->id, text),
                       driver_.options().logs));
    log_offset_ = ::lseek(files_.log().file.get(), 0, SEEK_END);
    return {};
  }

  Answer<void> launch() {
    SpawnRequest request{.command = {driver_.paths().monitor, "run", "--name", live_.name, "--config",
                                     fmt::format("/proc/self/fd/{}", description_)},
                         .fds = {},
                         .output = files_.log().file.get(),
                         .account = driver_.options().account};
    for (const Fd& fd : files_.inherited()) {
      request.fds.push_back(fd.get());
    }
    Spawned spawned = TRY(spawn(request));
    run_->process = std::move(spawned.process);
    TRY_VOID(place());
    TRY_VOID(
        start_filesystem_servers(files_.take_filesystem_servers(), run_->folder, files_.log().file.get(), run_->cgroup));
    TRY_VOID(write_record());  // before the monitor runs: a daemon that comes after us must know of it
    TRY_VOID(let_run(spawned, driver_.paths().monitor));
    driver_.connect(domain_, run_, TRY(connect_unix(run_->folder + std::string(kControlSocket))));
    files_.close();  // the listening socket too: its end is seen at once
    const bool greeted = run_->monitor->wait_for_greeting(kGreetingPatience);
    if (!greeted) {
      const std::string said = log_tail(files_.log().file.get(), log_offset_);
      return call_error(VIR_ERR_INTERNAL_ERROR, "the monitor of domain '{}' {}: {}", live_.name,
                        wait_for_end(run_->process, 1000) ? "ended while starting" : "did not answer",
                        said.empty() ? "it said nothing" : said);
    }
    return {};
  }

  // Into its control group, before it allocates anything.
  Answer<void> place() {
    if (driver_.options().session) {
      return {};
    }
    auto cgroup = Cgroup::create(run_->id, live_.name, run_->process.pid);
    if (!cgroup) {
      log_warning("domain", "'{}' runs in the daemon's control group: {}", live_.name, cgroup.error().message);
    } else {
      run_->cgroup = std::move(*cgroup);
    }
    return apply_memory_tuning(live_, run_->cgroup);
  }

  Answer<void> publish(uint32_t flags, const std::shared_ptr<rpc::Session>& session) {
    const Json terminals = TRY(run_->monitor->execute("query-chardev"));
    take_terminals(live_, terminals);
    TRY_VOID(apply_affinity(live_, *run_));
    TRY_VOID(apply_tuning(live_, *run_));
    const bool paused = (flags & VIR_DOMAIN_START_PAUSED) != 0;
    run_->pause_reason = VIR_DOMAIN_PAUSED_STARTING_UP;
    domain_->change([&](DomainView& view) {
      view.live = std::make_shared<DomainConfig>(live_);
      view.run = run_;
      view.state = VIR_DOMAIN_PAUSED;
      view.reason = paused ? VIR_DOMAIN_PAUSED_USER : VIR_DOMAIN_PAUSED_STARTING_UP;
    });
    published_ = true;
    driver_.watch(domain_, run_);
    driver_.watch_display(domain_, run_);
    if ((flags & VIR_DOMAIN_START_AUTODESTROY) != 0 && session) {
      run_->autodestroy_session = session->id();
      session->on_close([&driver = driver_, domain = domain_, run = run_] {
        if (domain->view().run == run) {
          (void)driver.destroy(domain, false);
        }
      });
    }
    if (!paused) {
      TRY(run_->monitor->execute("cont"));
      driver_.mark(domain_, run_.get(), VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED);
    }
    driver_.write_status(domain_);
    driver_.events().lifecycle(domain_->view().rpc_name(), VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_BOOTED);
    if (paused) {
      driver_.events().lifecycle(domain_->view().rpc_name(), VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    }
    log_info("domain", "'{}' runs as id {}, process {}", live_.name, run_->id, run_->process.pid);
    return {};
  }

  void undo() {
    files_.close();
    run_->display.close();
    if (run_->process.pid > 0) {
      kill_process(run_->process, SIGKILL);
      (void)wait_for_end(run_->process, 10'000);
    }
    end_filesystem_servers(run_->folder);
    run_->cgroup.remove();
    if (published_) {
      int none = 0;
      run_->stop_reason.compare_exchange_strong(none, VIR_DOMAIN_SHUTOFF_FAILED);
      driver_.ended(domain_, run_);
      return;
    }
    if (run_->monitor) {
      run_->monitor->close();
    }
    remove_status(driver_.paths(), live_.name);
    driver_.networks().unplug(live_.devices.interfaces);
    remove_guest_files(run_->log_file, live_);
    std::error_code ignored;
    std::filesystem::remove_all(run_->folder, ignored);
  }

  Result<void> write_record() {
    const auto [display_pid, display_start_time] = run_->display.identity();
    return save_status(driver_.paths(), {.live = live_,
                                         .starting = true,
                                         .id = run_->id,
                                         .state = VIR_DOMAIN_PAUSED,
                                         .reason = VIR_DOMAIN_PAUSED_STARTING_UP,
                                         .pid = run_->process.pid,
                                         .start_time = run_->process.start_time,
                                         .display_pid = display_pid,
                                         .display_start_time = display_start_time,
                                         .folder = run_->folder,
                                         .log_file = run_->log_file,
                                         .cgroup = run_->cgroup.path(),
                                         .since = std::chrono::system_clock::to_time_t(run_->since)});
  }

  static std::string now_text() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    const size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S+0000", &parts);
    return {text, size};
  }

  Driver& driver_;
  DomainPtr domain_;
  DomainConfig live_;
  std::shared_ptr<Run> run_;
  GuestFiles files_;
  DisplayFiles display_;
  int description_ = -1;
  off_t log_offset_ = 0;
  bool published_ = false;
};

void take_terminals(DomainConfig& live, const Json& devices) {
  const auto path_of = [&devices](const std::string& name) -> std::string {
    for (const Json& device : devices) {
      if (text_in(device, "device") == name) {
        return text_in(device, "path");
      }
    }
    return "";
  };
  const auto take = [&](CharSource& source, const std::string& name) {
    if (source.type == CharType::pty) {
      source.path = path_of(name);
    }
  };
  for (size_t i = 0; i < live.devices.serials.size(); ++i) {
    take(live.devices.serials[i].source, fmt::format("serial{}", i));
  }
  for (DomainParallel& parallel : live.devices.parallels) {
    take(parallel.source, fmt::format("parallel{}", parallel.port.value_or(0)));
  }
  for (DomainConsole& console : live.devices.consoles) {
    if (console.target == ConsoleTarget::virtio) {
      take(console.source, "console0");
    } else if (!live.devices.serials.empty()) {
      console.source = live.devices.serials.front().source;
    }
  }
  for (DomainChannel& channel : live.devices.channels) {
    take(channel.source, channel.name);
  }
}

Answer<void> Driver::start(const DomainPtr& domain, uint32_t flags, const std::shared_ptr<rpc::Session>& session) {
  const auto job = TRY(domain->begin_job("start"));
  const DomainView view = domain->view();
  if (view.active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is already running");
  }
  if (!view.persistent) {
    return call_error(VIR_ERR_NO_DOMAIN, "no domain with matching uuid '{}'", print_uuid(view.uuid));
  }
  return Starter(*this, domain, *view.persistent).start(flags, session);
}

Answer<DomainPtr> Driver::create(std::string_view xml, uint32_t flags, const std::shared_ptr<rpc::Session>& session) {
  DomainConfig config = TRY(read_definition(xml, (flags & VIR_DOMAIN_START_VALIDATE) != 0));
  const auto [domain, fresh] = TRY(domains_.add(config.uuid, config.name));
  const auto job = domain->begin_job("create");
  if (!job) {
    return std::unexpected(job.error());
  }
  if (domain->view().active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain '{}' is already active", config.name);
  }
  const auto started = Starter(*this, domain, std::move(config)).start(flags, session);
  if (!started) {
    if (!domain->view().persistent) {
      domains_.remove(domain);
    }
    return std::unexpected(started.error());
  }
  return domain;
}

}  // namespace lodge
