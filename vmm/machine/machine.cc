#include "vmm/machine/machine.h"

#include <sys/ioctl.h>
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "base/log.h"
#include "vmm/config/fields.h"

namespace lodge {
namespace {
constexpr std::chrono::seconds kLastRequests(10);  // how long an ending process waits for requests in flight
}  // namespace

std::string_view to_string(MachineStatus status) {
  switch (status) {
    case MachineStatus::prelaunch: return "prelaunch";
    case MachineStatus::running: return "running";
    case MachineStatus::paused: return "paused";
    case MachineStatus::saving: return "save-vm";
    case MachineStatus::io_error: return "io-error";
    case MachineStatus::watchdog: return "watchdog";
    case MachineStatus::shutdown: return "shutdown";
    case MachineStatus::guest_panicked: return "guest-panicked";
    case MachineStatus::internal_error: return "internal-error";
  }
  return "unknown";
}

Machine::Machine(const MachineConfig& config, EventLoop& control, Hooks hooks)
    : config_(config), control_(control), hooks_(std::move(hooks)) {}

// The order matters: no vCPU runs, then nothing is in flight, then no I/O loop runs, then the devices go. Storage that does
// not answer is waited for only so long.
Machine::~Machine() {
  vcpus_.clear();
  struct Quiet {
    std::mutex mutex;
    std::condition_variable changed;
    size_t left = 0;
  };
  for (auto& [id, leaving] : leaving_) {
    if (leaving.device) {
      devices_.push_back(std::move(leaving.device));
    }
  }
  leaving_.clear();
  const auto quiet = std::make_shared<Quiet>();
  quiet->left = devices_.size();
  for (auto it = devices_.rbegin(); it != devices_.rend(); ++it) {
    (*it)->quiesce([quiet] {
      const std::scoped_lock lock(quiet->mutex);
      --quiet->left;
      quiet->changed.notify_all();
    });
  }
  {
    std::unique_lock lock(quiet->mutex);
    if (!quiet->changed.wait_for(lock, kLastRequests, [&quiet] { return quiet->left == 0; })) {
      log_warning("machine", "{} devices still have requests in flight; their storage or network does not answer",
                  quiet->left);
    }
  }
  io_threads_.clear();
  devices_.clear();
  root_.reset();  // the last owner of PCI functions, and of the lines they are wired to
}

void Machine::emit(const MachineEvent& event) const {
  if (hooks_.on_event) {
    hooks_.on_event(event);
  }
}

void Machine::enqueue(std::function<void(std::function<void()>)> operation) {
  operations_.push_back(std::move(operation));
  if (!operation_runs_) {
    run_next();
  }
}

void Machine::run_next() {
  if (operations_.empty()) {
    operation_runs_ = false;
    return;
  }
  operation_runs_ = true;
  auto operation = std::move(operations_.front());
  operations_.pop_front();
  operation([this] { control_.post([this] { run_next(); }); });
}

void Machine::start_guest() {
  for (const auto& device : devices_) {
    device->resume();
  }
  for (const auto& vcpu : vcpus_) {
    if (is_present(*vcpu)) {
      vcpu->resume();
    }
  }
  guest_runs_ = true;
}

void Machine::stop_guest(std::function<void()> stopped) {
  for (const auto& vcpu : vcpus_) {
    vcpu->request_pause();
  }
  for (const auto& vcpu : vcpus_) {
    vcpu->wait_parked();
  }
  guest_runs_ = false;
  // All at once, in reverse start order; the last one to report goes on, on control.
  auto left = std::make_shared<std::atomic<size_t>>(devices_.size() + 1);
  const auto one_done = [this, left, stopped = std::move(stopped)] {
    if (left->fetch_sub(1) == 1) {
      control_.post(stopped);
    }
  };
  for (auto it = devices_.rbegin(); it != devices_.rend(); ++it) {
    (*it)->quiesce(one_done);
  }
  one_done();
}

void Machine::resume(Done done) {
  enqueue([this, done = std::move(done)](const auto& next) {
    if (finished_ || status_ == MachineStatus::internal_error || status_ == MachineStatus::shutdown) {
      done(fail("the guest cannot go on: its state is '{}'; reset it or start it again", to_string(status_)));
    } else {
      if (!guest_runs_) {
        for (const auto& vcpu : vcpus_) {
          vcpu->vcpu().clock_was_paused();
        }
        const bool first = status_ == MachineStatus::prelaunch;
        status_ = MachineStatus::running;
        start_guest();
        if (!first) {
          emit({"RESUME", {}});
        }
      }
      done({});
    }
    next();
  });
}

void Machine::pause_as(MachineStatus status, Done done) {
  enqueue([this, status, done = std::move(done)](const auto& next) {
    if (!guest_runs_) {
      done({});
      next();
      return;
    }
    stop_guest([this, status, done, next] {
      status_ = status;
      emit({"STOP", {}});
      done({});
      next();
    });
  });
}

void Machine::while_quiet(std::function<void(Done)> fn, After after, Done done) {
  enqueue([this, fn = std::move(fn), after, done = std::move(done)](const auto& next) {
    if (finished_) {
      done(fail("the guest is off"));
      next();
      return;
    }
    const bool ran = guest_runs_;
    const MachineStatus before = status_;
    const auto finished = [this, ran, before, after, done, next](Result<void> outcome) {
      if (ran && !finished_ && (!outcome || after == After::as_before)) {
        status_ = before;
        for (const auto& vcpu : vcpus_) {
          vcpu->vcpu().clock_was_paused();
        }
        start_guest();
      } else {
        status_ = ran ? MachineStatus::paused : before;
      }
      done(std::move(outcome));
      next();
    };
    const auto act = [this, fn, finished] {
      status_ = MachineStatus::saving;
      fn(finished);
    };
    if (ran) {
      stop_guest(act);
    } else {
      act();
    }
  });
}

void Machine::reset(Done done) {
  enqueue([this, done = std::move(done)](const auto& next) {
    const bool ran = guest_runs_ || status_ != MachineStatus::paused;
    stop_guest([this, ran, done, next] {
      auto outcome = reset_now();
      if (!outcome) {
        status_ = MachineStatus::internal_error;
        log_error("machine", "reset failed: {}", outcome.error().message);
      } else {
        emit({"RESET", {}});
        if (ran) {
          status_ = MachineStatus::running;
          start_guest();
        }
      }
      done(std::move(outcome));
      next();
    });
  });
}

Result<void> Machine::reset_now() {
  reset_when_off_ = false;
  for (auto it = devices_.rbegin(); it != devices_.rend(); ++it) {
    (*it)->reset();
  }
  root_->reset();
  const uint32_t leaving = hotplug_->leaving();
  for (uint8_t slot = 0; slot < 32; ++slot) {
    if ((leaving & (uint32_t{1} << slot)) != 0 && root_->unplug({slot, 0}) != nullptr) {
      slot_released(slot);  // a guest that starts anew holds nothing
    }
  }
  for (const uint32_t cpu : cpu_hotplug_ != nullptr ? cpu_hotplug_->leaving() : std::vector<uint32_t>()) {
    cpu_released(cpu);
  }
  TRY_VOID(load_irqchip(*vm_, power_on_irqchip_, false));
  for (const auto& vcpu : vcpus_) {
    TRY_VOID(vcpu->vcpu().reset(vcpu->index() == 0));
  }
  return load_boot_state();
}

Result<void> Machine::load_boot_state() {
  const std::optional<EntryState> entry = TRY(prepare_boot_());
  return entry ? vcpus_.front()->vcpu().enter_kernel(*entry) : Result<void>{};
}

Result<void> Machine::check_can_save() const {
  if (!config_.filesystems.empty()) {
    return fail("the guest has filesystem '{}', whose back-end's open files cannot be saved; start the guest without it",
                config_.filesystems.front().id);
  }
  return {};
}

Result<void> Machine::save(StateWriter& out) const {
  TRY_VOID(check_can_save());
  for (const auto& vcpu : vcpus_) {
    if (!is_present(*vcpu)) {
      continue;
    }
    const VcpuState state = TRY_CONTEXT(vcpu->vcpu().save(msr_list_), fmt::format("vCPU {}", vcpu->index()));
    out.put(fmt::format("vcpu{}", vcpu->index()), state);
  }
  out.put("irqchip0", TRY(save_irqchip(*vm_)));
  root_->save(out);
  for (const auto& device : devices_) {
    device->save(out);
  }
  return {};
}

// As a message to all local APICs: the vCPUs' own calls would wait until they leave the guest.
Result<void> Machine::inject_nmi() const {
  kvm_msi message{};
  message.address_lo = 0xFEEF'F000;  // physical destination 0xFF: everyone
  message.data = 4U << 8;            // delivery mode NMI
  if (::ioctl(vm_->get(), KVM_SIGNAL_MSI, &message) < 0) {
    return fail_errno(errno, "inject a non-maskable interrupt");
  }
  return {};
}

std::vector<Machine::IoThread> Machine::io_threads() const {
  std::vector<IoThread> threads;
  threads.reserve(io_threads_.size());
  for (size_t i = 0; i < io_threads_.size(); ++i) {
    threads.push_back({io_threads_[i]->loop().name(), io_thread_ids_.at(i)});
  }
  return threads;
}

std::string Machine::serial_path(size_t index) const {
  size_t seen = 0;
  for (const auto& device : devices_) {
    if (auto* serial = dynamic_cast<Uart16550*>(device.get()); serial != nullptr && seen++ == index) {
      return serial->backend().path();
    }
  }
  return {};
}

// On a vCPU thread, inside its register write: nobody is waited for.
void Machine::power_event(PowerEvent event, int code) {
  if (event == PowerEvent::panicked || event == PowerEvent::crash_loaded) {
    log_warning("machine", "the guest's kernel has crashed{}: vCPU {}: {}",
                event == PowerEvent::panicked ? "" : " and goes on with its crash kernel", code,
                vcpus_.at(static_cast<size_t>(code))->vcpu().describe_registers());
  }
  if (event != PowerEvent::crash_loaded) {
    for (const auto& vcpu : vcpus_) {
      vcpu->request_pause();  // also the caller, so that no further instruction of it runs
    }
  }
  control_.post([this, event, code] { handle_power(event, code); });
}

void Machine::handle_power(PowerEvent event, int code) {
  if (finished_) {
    return;
  }
  switch (event) {
    case PowerEvent::shutdown:
      if (reset_when_off_) {
        follow(OnEvent::restart, MachineStatus::shutdown, "guest-shutdown", 0);
        break;
      }
      emit({"SHUTDOWN", {{"guest", "true"}, {"reason", "guest-shutdown"}}});
      follow(config_.on_poweroff, MachineStatus::shutdown, "guest-shutdown", 0);
      break;
    case PowerEvent::reset:
      if (config_.on_reboot == OnEvent::destroy) {
        emit({"SHUTDOWN", {{"guest", "true"}, {"reason", "guest-reset"}}});
      }
      follow(config_.on_reboot, MachineStatus::shutdown, "guest-reset", 0);
      break;
    case PowerEvent::exit:
      emit({"SHUTDOWN", {{"guest", "true"}, {"reason", "debug-exit"}}});
      follow(OnEvent::destroy, MachineStatus::shutdown, "debug-exit", code);
      break;
    case PowerEvent::panicked:
      emit({"GUEST_PANICKED", {{"action", config_.on_crash == OnEvent::preserve ? "pause" : "poweroff"}}});
      follow(config_.on_crash, MachineStatus::guest_panicked, "guest-panic", 1);
      break;
    case PowerEvent::crash_loaded: emit({"GUEST_CRASHLOADED", {{"action", "run"}}}); break;
  }
}

void Machine::vcpu_fault(uint32_t vcpu, VcpuThread::Fault fault, std::string what) {
  control_.post([this, vcpu, fault, what = std::move(what)] {
    if (finished_) {
      return;
    }
    if (fault == VcpuThread::Fault::triple_fault) {
      // What a processor does then is reset the machine; old systems reboot this way on purpose.
      log_warning("machine", "vCPU {}: triple fault: {}", vcpu, what);
      handle_power(PowerEvent::reset, 0);
      return;
    }
    log_error("machine", "vCPU {} cannot go on: {}", vcpu, what);
    emit({"GUEST_PANICKED", {{"action", "pause"}, {"info", what}}});
    follow(config_.on_crash, MachineStatus::internal_error, "internal-error", 1);
  });
}

void Machine::follow(OnEvent policy, MachineStatus ended, const char* reason, int exit_status) {
  switch (policy) {
    case OnEvent::restart: reset([](const Result<void>&) {}); return;
    case OnEvent::preserve:
      // guest_runs_ may still be true: make the stop complete, whatever the vCPUs did.
      guest_runs_ = true;
      pause_as(ended, [](const Result<void>&) {});
      return;
    case OnEvent::destroy:
      finished_ = true;
      guest_runs_ = true;
      pause_as(ended, [this, reason, exit_status](const Result<void>&) {
        if (hooks_.on_finished) {
          hooks_.on_finished(reason, exit_status);
        }
      });
      return;
  }
}

void Machine::balloon_changed(uint64_t inflated) {
  const uint64_t left = memory_->total_size() - std::min(inflated, memory_->total_size());
  control_.post([this, left] { emit({"BALLOON_CHANGE", {{"actual", fmt::format("{}", left)}}}); });
}

void Machine::port_changed(std::string_view port, bool open) {
  control_.post([this, port = std::string(port), open] {
    emit({"VSERPORT_CHANGE", {{"id", port}, {"open", open ? "true" : "false"}}});
  });
}

void Machine::tray_moved(std::string_view drive, bool open) {
  control_.post([this, drive = std::string(drive), open] {
    emit({"DEVICE_TRAY_MOVED", {{"device", drive}, {"tray-open", open ? "true" : "false"}}});
  });
}

// A guest may set its clock as often as it likes; it is told once a second.
void Machine::clock_set(int64_t offset) {
  clock_offset_ = offset;
  if (clock_told_.active()) {
    return;
  }
  emit({"RTC_CHANGE", {{"offset", fmt::format("{}", offset)}}});
  clock_told_ = control_.after(std::chrono::seconds(1), [this, offset] {
    clock_told_ = {};
    if (clock_offset_ != offset) {
      clock_set(clock_offset_);
    }
  });
}

// A guest may let it end as often as it likes: what does not stop it is told once a second.
void Machine::watchdog_expired() {
  if (finished_) {
    return;
  }
  const WatchdogAction action = config_.watchdog.action;
  const bool tell = !watchdog_told_.active();
  if (tell) {
    const std::string word(EnumWords<WatchdogAction>::words.at(static_cast<size_t>(action)));
    log_warning("watchdog0", "the guest has not fed its watchdog in time; action: {}", word);
    emit({"WATCHDOG", {{"action", word}}});
    watchdog_told_ = control_.after(std::chrono::seconds(1), [this] { watchdog_told_ = {}; });
  }
  switch (action) {
    case WatchdogAction::reset: handle_power(PowerEvent::reset, 0); break;
    case WatchdogAction::shutdown: press_power_button(false); break;
    case WatchdogAction::poweroff:
      emit({"SHUTDOWN", {{"guest", "false"}, {"reason", "watchdog"}}});
      follow(OnEvent::destroy, MachineStatus::shutdown, "watchdog", 0);
      break;
    case WatchdogAction::pause: pause_as(MachineStatus::watchdog, [](const Result<void>&) {}); break;
    case WatchdogAction::none: break;
    case WatchdogAction::inject_nmi:
      if (const auto sent = inject_nmi(); !sent && tell) {
        log_error("watchdog0", "{}", sent.error().message);
      }
      break;
  }
}

void Machine::pointer_changed() {
  control_.post([this] {
    if (on_pointer_change_) {
      on_pointer_change_();
    }
  });
}

void Machine::block_error(const BlockErrorEvent& event) {
  static constexpr const char* kOperations[] = {"read", "write", "flush", "discard", "write-zeroes"};
  static constexpr const char* kActions[] = {"report", "ignore", "stop", "enospc"};
  MachineEvent told{"BLOCK_IO_ERROR",
                    {{"device", std::string(event.device)},
                     {"operation", kOperations[static_cast<size_t>(event.operation)]},
                     {"action", kActions[static_cast<size_t>(event.action)]},
                     {"nospace", event.error == ENOSPC ? "true" : "false"},
                     {"reason", std::strerror(event.error)}}};
  const bool stop = event.action == ErrorAction::stop;
  control_.post([this, told = std::move(told), stop] {
    emit(told);
    if (stop && status_ != MachineStatus::io_error) {
      log_warning("machine", "disk '{}': {} failed: {}; the guest is paused until 'cont'", told.details[0].second,
                  told.details[1].second, told.details[4].second);
      pause_as(MachineStatus::io_error, [](const Result<void>&) {});
    }
  });
}

}  // namespace lodge
