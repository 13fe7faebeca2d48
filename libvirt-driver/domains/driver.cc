// The daemon's own start, its finding of guests that run, and what their monitors tell it.
#include "libvirt-driver/domains/driver.h"

#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <filesystem>

#include "base/log.h"
#include "libvirt-driver/domains/affinity.h"
#include "libvirt-driver/domains/clock.h"
#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/domains/media.h"
#include "libvirt-driver/domains/network_ports.h"
#include "libvirt-driver/domains/vcpus.h"

namespace lodge {
namespace {

constexpr std::chrono::seconds kFindPatience{5};    // for a monitor to answer a daemon that came back
constexpr std::chrono::seconds kStartPatience{60};  // the same while its machine is being built

// The client that asked for the guest has had no answer, and the guest has not run: as if the start had failed.
void give_up_start(Run& run) {
  run.stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
  kill_process(run.process, SIGKILL);
}

// Values in events may be text.
// Signed, as events carry it.
int64_t seconds_in(const Json& data, const char* key) {
  const auto it = data.find(key);
  int64_t value = 0;
  if (it != data.end() && it->is_string()) {
    const auto& text = it->get_ref<const std::string&>();
    std::from_chars(text.data(), text.data() + text.size(), value);
  }
  return value;
}

uint64_t number_in(const Json& data, const char* key) {
  const auto it = data.find(key);
  if (it == data.end()) {
    return 0;
  }
  if (it->is_number_unsigned()) {
    return it->get<uint64_t>();
  }
  uint64_t value = 0;
  if (it->is_string()) {
    const auto& text = it->get_ref<const std::string&>();
    std::from_chars(text.data(), text.data() + text.size(), value);
  }
  return value;
}

}  // namespace

Driver::Driver(boost::asio::io_context& network, Post post, DriverOptions options)
    : network_(network),
      post_(std::move(post)),
      options_(std::move(options)),
      host_({.state = options_.paths.state}, options_.paths.monitor),
      networks_(std::make_unique<NetworkPorts>(network, options_.services, *this)) {}

Driver::~Driver() = default;

void Driver::connect(const DomainPtr& domain, const std::shared_ptr<Run>& run, Fd socket) {
  const std::weak_ptr<Run> weak = run;
  run->monitor = Monitor::create(network_, std::move(socket), domain->view().name,
                                 {.on_event =
                                      [this, domain, weak](const std::string& name, const Json& data) {
                                        if (const auto live = weak.lock()) {
                                          on_event(domain, live, name, data);
                                        }
                                      },
                                  .on_closed = [] {}});
}

// It comes before what the action does.
void Driver::watchdog_event(Run& run, const rpc::DomainName& who, const std::string& action) {
  static constexpr std::array<std::pair<std::string_view, int>, 6> kActions{
      {{"none", VIR_DOMAIN_EVENT_WATCHDOG_NONE},
       {"pause", VIR_DOMAIN_EVENT_WATCHDOG_PAUSE},
       {"reset", VIR_DOMAIN_EVENT_WATCHDOG_RESET},
       {"poweroff", VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF},
       {"shutdown", VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN},
       {"inject-nmi", VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI}}};
  const auto* const found = std::ranges::find(kActions, action, &std::pair<std::string_view, int>::first);
  if (found == kActions.end()) {
    return;
  }
  if (found->second == VIR_DOMAIN_EVENT_WATCHDOG_PAUSE) {
    run.pause_reason = VIR_DOMAIN_PAUSED_WATCHDOG;
  }
  events_.emit(VIR_DOMAIN_EVENT_ID_WATCHDOG,
               rpc::DomainEventCallbackWatchdogMsg{.callback_id = 0, .dom = who, .action = found->second});
}

// Network thread.
void Driver::on_event(const DomainPtr& domain, const std::shared_ptr<Run>& run, const std::string& name, const Json& data) {
  const rpc::DomainName who = domain->view().rpc_name();
  if (events_.wants_monitor_events()) {
    events_.monitor_event(who, name, data.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  int none = 0;
  if (name == "STOP") {
    const int reason = run->pause_reason.exchange(0);
    mark(domain, run.get(), VIR_DOMAIN_PAUSED, reason != 0 ? reason : static_cast<int>(VIR_DOMAIN_PAUSED_UNKNOWN));
  } else if (name == "RESUME") {
    mark(domain, run.get(), VIR_DOMAIN_RUNNING,
         domain->view().reason == VIR_DOMAIN_PAUSED_STARTING_UP ? VIR_DOMAIN_RUNNING_BOOTED : VIR_DOMAIN_RUNNING_UNPAUSED);
  } else if (name == "SHUTDOWN") {
    const bool guest = flag_in(data, "guest");
    run->stop_reason.compare_exchange_strong(none, guest ? VIR_DOMAIN_SHUTOFF_SHUTDOWN : VIR_DOMAIN_SHUTOFF_DESTROYED);
    events_.lifecycle(who, VIR_DOMAIN_EVENT_SHUTDOWN,
                      guest ? VIR_DOMAIN_EVENT_SHUTDOWN_GUEST : VIR_DOMAIN_EVENT_SHUTDOWN_HOST);
  } else if (name == "GUEST_PANICKED") {
    if (text_in(data, "action") == "pause") {
      mark(domain, run.get(), VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED);
    } else {
      run->stop_reason.compare_exchange_strong(none, VIR_DOMAIN_SHUTOFF_CRASHED);
      events_.lifecycle(who, VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED);
    }
  } else if (name == "VSERPORT_CHANGE") {
    if (const std::string channel = text_in(data, "id"); !channel.empty()) {  // the console has no name
      channel_changed(domain, channel, flag_in(data, "open"));
    }
  } else if (name == "RESET") {
    channel_changed(domain, "", false);
    events_.emit(VIR_DOMAIN_EVENT_ID_REBOOT, rpc::DomainEventCallbackRebootMsg{.callback_id = 0, .dom = who});
  } else if (name == "BALLOON_CHANGE") {
    const uint64_t kib = number_in(data, "actual") / 1024;
    domain->change([&](DomainView& view) {
      if (view.live) {
        auto changed = std::make_shared<DomainConfig>(*view.live);
        changed->current_memory = kib;
        view.live = std::move(changed);
      }
    });
    events_.emit(VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
                 rpc::DomainEventCallbackBalloonChangeMsg{.callback_id = 0, .dom = who, .actual = kib});
  } else if (name == "WATCHDOG") {
    watchdog_event(*run, who, text_in(data, "action"));
  } else if (name == "RTC_CHANGE") {
    clock_changed(*this, domain, seconds_in(data, "offset"));
    write_status(domain);
  } else if (name == "BLOCK_IO_ERROR") {
    const std::string alias = text_in(data, "device");
    const std::string action = text_in(data, "action");
    const bool stops = action == "stop";
    const std::string why = flag_in(data, "nospace") ? "enospc" : "";
    std::string source;
    domain->change([&](DomainView& view) {
      for (const DomainDisk& disk : view.live ? view.live->devices.disks : std::vector<DomainDisk>()) {
        if (disk.alias == alias) {
          source = disk.source.path;
          view.disk_errors[disk.target] = why == "enospc" ? VIR_DOMAIN_DISK_ERROR_NO_SPACE : VIR_DOMAIN_DISK_ERROR_UNSPEC;
        }
      }
    });
    const int told = stops ? VIR_DOMAIN_EVENT_IO_ERROR_PAUSE
                           : (action == "ignore" ? VIR_DOMAIN_EVENT_IO_ERROR_NONE : VIR_DOMAIN_EVENT_IO_ERROR_REPORT);
    if (stops) {
      run->pause_reason = VIR_DOMAIN_PAUSED_IOERROR;
    }
    events_.emit(VIR_DOMAIN_EVENT_ID_IO_ERROR,
                 rpc::DomainEventCallbackIoErrorMsg{
                     .callback_id = 0, .dom = who, .src_path = source, .dev_alias = alias, .action = told});
    events_.emit(VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
                 rpc::DomainEventCallbackIoErrorReasonMsg{
                     .callback_id = 0, .dom = who, .src_path = source, .dev_alias = alias, .action = told, .reason = why});
  } else if (name == "DEVICE_TRAY_MOVED") {
    tray_moved(*this, domain, text_in(data, "device"), flag_in(data, "tray-open"));
    write_status(domain);
  } else if (name == "DEVICE_DELETED") {
    device_deleted(domain, text_in(data, "device"));
  } else if (name == "DEVICE_UNPLUG_GUEST_ERROR") {
    note_refusal(*run, text_in(data, "device"));
    events_.emit(
        VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
        rpc::DomainEventCallbackDeviceRemovalFailedMsg{.callback_id = 0, .dom = who, .dev_alias = text_in(data, "device")});
  }
}

void Driver::write_status(const DomainPtr& domain) {
  const std::scoped_lock lock(domain->status_mutex);
  const DomainView view = domain->view();  // under the lock: the last writer writes the last state
  if (!view.active()) {
    return;
  }
  const auto [display_pid, display_start_time] = view.run->display.identity();
  const StoredStatus status{.live = *view.live,
                            .starting = view.state == VIR_DOMAIN_PAUSED && view.reason == VIR_DOMAIN_PAUSED_STARTING_UP,
                            .id = view.run->id,
                            .state = view.state,
                            .reason = view.reason,
                            .pid = view.run->process.pid,
                            .start_time = view.run->process.start_time,
                            .display_pid = display_pid,
                            .display_start_time = display_start_time,
                            .folder = view.run->folder,
                            .log_file = view.run->log_file,
                            .cgroup = view.run->cgroup.path(),
                            .since = std::chrono::system_clock::to_time_t(view.run->since)};
  if (const auto outcome = save_status(paths(), status); !outcome) {
    log_error("domain", "'{}': its state cannot be kept, a restarted daemon will not know it: {}", view.name,
              outcome.error().message);
  }
}

Result<void> Driver::load() {
  TRY_VOID(make_folders(paths()));
  for (StoredDefinition& stored : load_definitions(paths())) {
    const auto added = domains_.add(stored.config.uuid, stored.config.name);
    if (!added) {
      log_error("store", "the definition of '{}' is not loaded: {}", stored.config.name, added.error().message());
      continue;
    }
    added->domain->change([&](DomainView& view) {
      view.persistent = std::make_shared<DomainConfig>(std::move(stored.config));
      view.autostart = stored.autostart;
      view.state = VIR_DOMAIN_SHUTOFF;
      view.reason = VIR_DOMAIN_SHUTOFF_UNKNOWN;
    });
  }
  std::vector<StoredStatus> statuses = load_statuses(paths());
  remove_stale_folders(paths(), statuses);
  for (const StoredStatus& status : statuses) {
    next_id_ = std::max(next_id_.load(), status.id + 1);
  }
  for (StoredStatus& status : statuses) {
    find_again(std::move(status));
  }
  networks_->resume();
  post_([this] { autostart_all(); });
  return {};
}

// A guest that ran when the last daemon ended. Its true state is asked of its monitor.
void Driver::find_again(StoredStatus status) {
  const auto added = domains_.add(status.live.uuid, status.live.name);
  if (!added) {
    log_error("domain", "the running guest '{}' (process {}) cannot be taken over: {}", status.live.name, status.pid,
              added.error().message());
    return;
  }
  const DomainPtr domain = added->domain;
  auto run = std::make_shared<Run>();
  run->id = status.id;
  run->folder = status.folder;
  run->log_file = status.log_file;
  run->cgroup = Cgroup(status.cgroup);
  run->since = std::chrono::system_clock::from_time_t(status.since);
  auto process = find_process(status.pid, status.start_time);
  if (auto display = find_process(status.display_pid, status.display_start_time); status.display_pid > 0 && display) {
    (void)run->display.set(std::move(*display));
  }
  for (DomainChannel& channel : status.live.devices.channels) {
    channel.state = ChannelState::absent;  // not known: the guest may have opened it meanwhile
  }
  domain->change([&](DomainView& view) {
    view.live = std::make_shared<DomainConfig>(status.live);
    view.run = run;
    view.state = status.state;
    view.reason = status.reason;
  });
  if (!process) {
    log_info("domain", "'{}' (id {}) has ended meanwhile", status.live.name, status.id);
    if (status.starting) {
      run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
    }
    ended(domain, run, false);  // nothing is served yet
    return;
  }
  run->process = std::move(*process);
  auto socket = connect_unix(run->folder + std::string(kControlSocket));
  if (socket) {
    connect(domain, run, std::move(*socket));
  } else if (status.starting) {
    give_up_start(*run);
  } else {
    log_error("domain", "'{}': {}; it runs on but cannot be told anything", status.live.name, socket.error().message);
  }
  watch(domain, run);
  watch_display(domain, run);
  if (run->monitor) {
    post_([this, domain, run, starting = status.starting] { ask_state(domain, run, starting); });
  }
}

void Driver::ask_state(const DomainPtr& domain, const std::shared_ptr<Run>& run, bool starting) {
  const std::string name = domain->view().name;
  const auto told = run->monitor->execute("query-status", Json::object(), {}, starting ? kStartPatience : kFindPatience);
  const std::string status = told ? told->value("status", "") : "";
  if (starting && (!told || status == "prelaunch")) {
    give_up_start(*run);
    return;
  }
  if (!told) {
    log_error("domain", "'{}': its monitor does not answer: {}", name, told.error().message());
    return;
  }
  const auto block = run->monitor->execute("query-block");
  if (const auto terminals = run->monitor->execute("query-chardev")) {
    domain->change([&](DomainView& view) {
      if (view.run == run && view.live) {
        auto live = std::make_shared<DomainConfig>(*view.live);
        take_terminals(*live, *terminals);
        take_trays(*live, block ? *block : Json());
        view.live = std::move(live);
      }
    });
  }
  int state = VIR_DOMAIN_PAUSED;
  if (told->value("running", false)) {
    state = VIR_DOMAIN_RUNNING;
  } else if (status == "guest-panicked") {
    state = VIR_DOMAIN_CRASHED;
  }
  const int reason = state == VIR_DOMAIN_CRASHED  ? static_cast<int>(VIR_DOMAIN_CRASHED_PANICKED)
                     : state == VIR_DOMAIN_PAUSED ? static_cast<int>(status == "io-error"   ? VIR_DOMAIN_PAUSED_IOERROR
                                                                     : status == "watchdog" ? VIR_DOMAIN_PAUSED_WATCHDOG
                                                                                            : VIR_DOMAIN_PAUSED_UNKNOWN)
                     : starting                   ? static_cast<int>(VIR_DOMAIN_RUNNING_BOOTED)
                                                  : static_cast<int>(VIR_DOMAIN_RUNNING_UNPAUSED);
  mark(domain, run.get(), state, reason);
  write_status(domain);
  log_info("domain", "'{}' (id {}, process {}) is found again, {}", name, run->id, run->process.pid, status);
  if (run->display.identity().first <= 0) {
    restart_display(domain, run);
  }
}

// Once for each start of the host: a guest that was shut down stays so when only the daemon starts again.
void Driver::autostart_all() {
  const std::string marker = paths().run + "/autostarted";
  if (::access(marker.c_str(), F_OK) == 0) {
    return;
  }
  for (const DomainPtr& domain : domains_.all()) {
    const DomainView view = domain->view();
    if (view.autostart && !view.active()) {
      if (const auto started = start(domain, 0, nullptr); !started) {
        log_error("domain", "'{}' is to start with the host, but: {}", view.name, started.error().message());
      }
    }
  }
  // Last: a daemon that dies before goes on where it was.
  if (const auto marked = write_atomically(marker, "", false); !marked) {
    log_error("domain", "a restarted daemon will start the guests of autostart again: {}", marked.error().message);
  }
}

bool Driver::wait_for_removal(std::chrono::milliseconds patience, const std::function<bool()>& gone) {
  std::unique_lock lock(removal_mutex_);
  return removed_.wait_for(lock, patience, gone);
}

void Driver::note_refusal(Run& run, const std::string& alias) {
  uint32_t vcpu = 0;
  if (alias.starts_with("vcpu") && std::from_chars(alias.data() + 4, alias.data() + alias.size(), vcpu).ec == std::errc()) {
    const std::scoped_lock lock(removal_mutex_);
    run.refused_vcpu = vcpu;
    removed_.notify_all();
  }
}

void Driver::device_deleted(const DomainPtr& domain, const std::string& alias) {
  bool vcpu = false;
  std::vector<DomainInterface> unplugged;
  const rpc::DomainName who = domain->change([&](DomainView& view) {
    if (view.live) {
      auto live = std::make_shared<DomainConfig>(*view.live);
      vcpu = forget_vcpu(*live, alias);
      std::erase_if(live->devices.disks, [&](const DomainDisk& disk) { return disk.alias == alias; });
      const auto gone = std::ranges::stable_partition(live->devices.interfaces,
                                                      [&](const DomainInterface& nic) { return nic.alias != alias; });
      unplugged.assign(gone.begin(), gone.end());
      live->devices.interfaces.erase(gone.begin(), gone.end());
      std::erase_if(live->devices.inputs, [&](const DomainInput& input) { return input.alias == alias; });
      view.live = std::move(live);
    }
    return view.rpc_name();
  });
  write_status(domain);
  networks_->unplug_within({}, std::move(unplugged));  // this is the network thread
  {
    const std::scoped_lock lock(removal_mutex_);
    removed_.notify_all();
  }
  if (vcpu) {
    return;  // libvirt's qemu driver tells of none
  }
  events_.emit(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
               rpc::DomainEventCallbackDeviceRemovedMsg{.callback_id = 0, .dom = who, .dev_alias = alias});
}

}  // namespace lodge
