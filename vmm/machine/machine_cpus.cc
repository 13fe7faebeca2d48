// vCPUs that come and go while the guest runs.
//
// KVM cannot give a vCPU back, so all that are possible exist from the start and those that are not there are parked. One
// leaves in two steps: from the guest's eject on it is gone for the guest and asked to park (its vCPU's doing, or
// another's); then control waits for it to park and takes it out of the configuration.
#include <algorithm>

#include "base/log.h"
#include "vmm/machine/machine.h"

namespace lodge {
namespace {

std::string cpu_id(uint32_t index) { return fmt::format("vcpu{}", index); }

}  // namespace

void Machine::add_cpu(uint32_t index, Done done) {
  enqueue([this, index, done = std::move(done)](const auto& next) {
    done(plug_cpu(index));
    next();
  });
}

void Machine::remove_cpu(uint32_t index, Done done) {
  enqueue([this, index, done = std::move(done)](const auto& next) {
    done(ask_cpu_to_leave(index));
    next();
  });
}

Result<void> Machine::plug_cpu(uint32_t index) {
  if (finished_) {
    return fail("the guest is off");
  }
  if (cpu_hotplug_ == nullptr || index >= vcpus_.size()) {
    return fail("vCPU {} is not possible; this guest can have {}, and was started with a maximum of {} (--cpus N,max=M)",
                index, vcpus_.size(), config_.cpu.max);
  }
  VcpuThread& vcpu = *vcpus_[index];
  if (is_present(vcpu)) {
    return fail("vCPU {} is there already", index);
  }
  vcpu.request_pause();
  vcpu.wait_parked();
  TRY_VOID_CONTEXT(vcpu.vcpu().reset(false), fmt::format("vCPU {}", index));
  CpuSettings& cpu = config_.cpu;
  cpu.present.insert(std::ranges::upper_bound(cpu.present, index), index);
  ++cpu.count;
  if (guest_runs_) {
    vcpu.resume();  // it waits for the guest's start signal
  }
  cpu_hotplug_->added(index);
  return {};
}

Result<void> Machine::ask_cpu_to_leave(uint32_t index) {
  if (cpu_hotplug_ == nullptr) {
    return fail("the vCPUs of this guest stay; it was started without a maximum (--cpus N,max=M)");
  }
  if (index >= vcpus_.size() || !is_present(*vcpus_[index])) {
    return fail("there is no vCPU {}; query-cpus lists those that are there", index);
  }
  if (index == 0) {
    return fail("vCPU 0 stays: the guest starts on it");
  }
  cpu_hotplug_->ask_to_leave(index);
  return {};
}

void Machine::cpu_ejected(uint32_t index) {
  vcpus_[index]->request_pause();
  control_.post([this, index] { cpu_released(index); });
}

void Machine::cpu_refused(uint32_t index) {
  control_.post([this, index] {
    log_warning("machine", "the guest does not let go of vCPU {}", index);
    emit({"DEVICE_UNPLUG_GUEST_ERROR", {{"device", cpu_id(index)}}});
  });
}

void Machine::cpu_released(uint32_t index) {
  VcpuThread& vcpu = *vcpus_[index];
  if (!is_present(vcpu)) {
    return;
  }
  vcpu.request_pause();  // again: the guest may have been paused and resumed meanwhile
  vcpu.wait_parked();
  std::erase(config_.cpu.present, index);
  --config_.cpu.count;
  cpu_hotplug_->gone(index);
  emit({"DEVICE_DELETED", {{"device", cpu_id(index)}}});
}

void Machine::set_action(Ending ending, OnEvent action) {
  switch (ending) {
    case Ending::poweroff: config_.on_poweroff = action; break;
    case Ending::reboot: config_.on_reboot = action; break;
    case Ending::crash: config_.on_crash = action; break;
  }
}

}  // namespace lodge
