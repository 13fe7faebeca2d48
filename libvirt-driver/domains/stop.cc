// The ends of guests, and what happens between: pauses, resets, the power button.
#include <libvirt/libvirt.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/log.h"
#include "libvirt-driver/domains/driver.h"
#include "libvirt-driver/domains/guest_files.h"
#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/domains/network_ports.h"
#include "libvirt-driver/rpc/asio.h"

namespace lodge {
namespace {

constexpr int kTermPatience = 10'000;  // ms for a monitor to end when asked
constexpr std::chrono::seconds kCleanupPatience{15};
constexpr std::chrono::seconds kPortPatience{5};  // for the network daemon, which may hang

int stopped_detail(int reason) {
  switch (reason) {
    case VIR_DOMAIN_SHUTOFF_SHUTDOWN: return VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN;
    case VIR_DOMAIN_SHUTOFF_DESTROYED: return VIR_DOMAIN_EVENT_STOPPED_DESTROYED;
    case VIR_DOMAIN_SHUTOFF_CRASHED: return VIR_DOMAIN_EVENT_STOPPED_CRASHED;
    case VIR_DOMAIN_SHUTOFF_SAVED: return VIR_DOMAIN_EVENT_STOPPED_SAVED;
    case VIR_DOMAIN_SHUTOFF_MIGRATED: return VIR_DOMAIN_EVENT_STOPPED_MIGRATED;
    default: return VIR_DOMAIN_EVENT_STOPPED_FAILED;
  }
}

int suspended_detail(int reason) {
  switch (reason) {
    case VIR_DOMAIN_PAUSED_IOERROR: return VIR_DOMAIN_EVENT_SUSPENDED_IOERROR;
    case VIR_DOMAIN_PAUSED_MIGRATION: return VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED;
    case VIR_DOMAIN_PAUSED_WATCHDOG: return VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG;
    default: return VIR_DOMAIN_EVENT_SUSPENDED_PAUSED;
  }
}

// What the monitor said of its end, for a daemon that was not there to hear it.
int reason_from_file(const Run& run) {
  const auto text = read_file(run.folder + std::string(kEndFile), 4096);
  const std::string reason = text ? text_in(parse_json(*text), "reason") : "";
  if (reason == "guest-shutdown" || reason == "guest-reset" || reason == "debug-exit") {
    return VIR_DOMAIN_SHUTOFF_SHUTDOWN;
  }
  if (reason == "guest-panic") {
    return VIR_DOMAIN_SHUTOFF_CRASHED;
  }
  return reason == "host-signal" || reason == "host-qmp-quit" || reason == "watchdog" ? VIR_DOMAIN_SHUTOFF_DESTROYED
                                                                                      : VIR_DOMAIN_SHUTOFF_FAILED;
}

asio::awaitable<void> wait_for_process(Fd pidfd, std::function<void()> then) {
  asio::posix::stream_descriptor watched(co_await asio::this_coro::executor, pidfd.release());
  (void)co_await watched.async_wait(asio::posix::stream_descriptor::wait_read, kAwait);
  then();
}

}  // namespace

Answer<std::shared_ptr<Run>> Driver::running(const DomainView& view) {
  if (!view.active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
  }
  if (!view.run->monitor) {
    return call_error(VIR_ERR_OPERATION_FAILED, "the monitor of domain '{}' (process {}) cannot be reached; its log is {}",
                      view.name, view.run->process.pid, view.run->log_file);
  }
  return view.run;
}

void Driver::watch(const DomainPtr& domain, const std::shared_ptr<Run>& run) {
  auto pidfd = run->process.pidfd.duplicate();
  if (!pidfd) {
    log_error("domain", "'{}': its end cannot be watched: {}", domain->view().name, pidfd.error().message);
    return;
  }
  when_ended(std::move(*pidfd), [this, domain, run] { ended(domain, run); });
}

void Driver::when_ended(Fd pidfd, std::function<void()> then) {
  // Not on the network thread: the end removes files and tells others.
  asio::co_spawn(network_, wait_for_process(std::move(pidfd), [this, then = std::move(then)] { post_(then); }),
                 asio::detached);
}

void Driver::ended(const DomainPtr& domain, const std::shared_ptr<Run>& run, bool may_wait) {
  (void)wait_for_end(run->process, 0);
  run->display.close();
  end_filesystem_servers(run->folder);
  run->cgroup.remove();
  if (run->monitor) {
    run->monitor->close();
  }
  DomainView before;
  int reason = run->stop_reason;
  if (reason == 0) {
    reason = reason_from_file(*run);
  }
  const bool mine = domain->change([&](DomainView& view) {
    before = view;
    if (view.run != run) {
      return false;
    }
    view.run = nullptr;
    view.live = nullptr;
    view.disk_errors.clear();
    view.state = VIR_DOMAIN_SHUTOFF;  // whatever ended it
    view.reason = reason;
    return true;
  });
  if (mine) {
    {
      const std::scoped_lock lock(domain->status_mutex);
      remove_status(paths(), before.name);
    }
    remove_guest_files(run->log_file, *before.live);
    std::error_code ignored;
    std::filesystem::remove_all(run->folder, ignored);
    if (!before.persistent) {
      domains_.remove(domain);
    }
    log_info("domain", "'{}' (id {}) is off: reason {}", before.name, run->id, reason);
    const rpc::DomainName off{before.name, before.uuid, -1};
    events_.lifecycle(off, VIR_DOMAIN_EVENT_STOPPED, stopped_detail(reason));
    networks_->unplug_within(may_wait ? kPortPatience : std::chrono::seconds(0), before.live->devices.interfaces);
    run->finish();
  }
}

void Driver::mark(const DomainPtr& domain, const Run* run, int state, int reason) {
  bool changed = false;
  const rpc::DomainName name = domain->change([&](DomainView& view) {
    changed = view.run.get() == run && view.state != state;
    if (changed) {
      view.state = state;
      view.reason = reason;
      if (state == VIR_DOMAIN_RUNNING) {
        view.disk_errors.clear();
      }
    }
    return view.rpc_name();
  });
  if (!changed) {
    return;
  }
  write_status(domain);
  switch (state) {
    case VIR_DOMAIN_PAUSED: events_.lifecycle(name, VIR_DOMAIN_EVENT_SUSPENDED, suspended_detail(reason)); break;
    case VIR_DOMAIN_RUNNING: events_.lifecycle(name, VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED); break;
    case VIR_DOMAIN_CRASHED: events_.lifecycle(name, VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED); break;
    default: break;
  }
}

Answer<void> Driver::destroy(const DomainPtr& domain, bool graceful) {
  const DomainView view = domain->view();
  if (!view.active() || !view.run) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
  }
  const auto run = view.run;
  int none = 0;
  run->stop_reason.compare_exchange_strong(none, VIR_DOMAIN_SHUTOFF_DESTROYED);
  kill_process(run->process, SIGTERM);
  kill_process(run->process, SIGCONT);
  if (!wait_for_end(run->process, kTermPatience)) {
    if (graceful) {
      run->stop_reason = none;
      return call_error(VIR_ERR_OPERATION_FAILED, "failed to terminate process {} with SIGTERM: Device or resource busy",
                        run->process.pid);
    }
    log_warning("domain", "'{}': its monitor (process {}) does not end; it is killed", view.name, run->process.pid);
    kill_process(run->process, SIGKILL);
    (void)wait_for_end(run->process, kTermPatience);
  }
  // The watcher does it too; whoever comes first.
  ended(domain, run);
  if (!run->wait_finished(kCleanupPatience)) {
    return call_error(VIR_ERR_OPERATION_TIMEOUT, "process {} of domain '{}' has not ended; it may wait for its disk",
                      run->process.pid, view.name);
  }
  return {};
}

Answer<void> Driver::shutdown(const DomainPtr& domain) {
  const DomainView view = domain->view();
  const auto run = TRY(running(view));
  TRY(run->monitor->execute("system_powerdown"));
  return {};
}

Answer<void> Driver::suspend(const DomainPtr& domain) {
  const auto job = TRY(domain->begin_job("suspend"));
  const DomainView view = domain->view();
  const auto run = TRY(running(view));
  if (view.state == VIR_DOMAIN_PAUSED) {
    return {};
  }
  run->pause_reason = VIR_DOMAIN_PAUSED_USER;
  TRY(run->monitor->execute("stop"));
  mark(domain, run.get(), VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
  return {};
}

Answer<void> Driver::resume(const DomainPtr& domain) {
  const auto job = TRY(domain->begin_job("resume"));
  const DomainView view = domain->view();
  const auto run = TRY(running(view));
  if (view.state == VIR_DOMAIN_RUNNING) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is already running");
  }
  run->pause_reason = 0;
  TRY(run->monitor->execute("cont"));
  mark(domain, run.get(), VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED);
  return {};
}

Answer<void> Driver::reset(const DomainPtr& domain) {
  const auto job = TRY(domain->begin_job("reset"));
  const auto run = TRY(running(domain->view()));
  TRY(run->monitor->execute("system_reset"));
  return {};
}

}  // namespace lodge
