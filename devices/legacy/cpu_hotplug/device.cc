#include "devices/legacy/cpu_hotplug/device.h"

#include <utility>

#include "devices/core/ost.h"

namespace lodge {

Result<std::unique_ptr<CpuHotplug>> CpuHotplug::create(Bus& bus, uint64_t base, std::vector<bool> present, Hooks hooks,
                                                       const StateReader* saved) {
  std::unique_ptr<CpuHotplug> self(new CpuHotplug(std::move(present), std::move(hooks)));
  if (saved != nullptr) {
    TRY_VOID(self->load(TRY(saved->get<CpuHotplugState>("cpu-hotplug0"))));
  }
  self->mapping_ = TRY(bus.add(base, kSize, "cpu-hotplug0", unowned(*self)));
  return self;
}

Result<void> CpuHotplug::load(const CpuHotplugState& state) {
  const Lock lock(mutex_);
  selected_ = state.selected;
  event_ = state.event;
  const std::pair<const std::vector<uint32_t>*, bool Cpu::*> lists[] = {
      {&state.came, &Cpu::came}, {&state.to_leave, &Cpu::to_leave}, {&state.leaving, &Cpu::leaving}};
  for (const auto& [list, flag] : lists) {
    for (const uint32_t cpu : *list) {
      if (cpu == 0 || cpu >= cpus_.size() || !cpus_[cpu].present) {
        return fail("cpu-hotplug0: the saved state speaks of vCPU {}, which this machine has not", cpu);
      }
      cpus_[cpu].*flag = true;
    }
  }
  return {};
}

void CpuHotplug::added(uint32_t cpu) {
  {
    const Lock lock(mutex_);
    cpus_.at(cpu) = {.present = true, .came = true, .to_leave = false, .leaving = false};
  }
  hooks_.interrupt();
}

void CpuHotplug::ask_to_leave(uint32_t cpu) {
  {
    const Lock lock(mutex_);
    if (!cpus_.at(cpu).present) {
      return;  // it has just gone
    }
    cpus_[cpu].to_leave = true;
    cpus_[cpu].leaving = true;
  }
  hooks_.interrupt();
}

void CpuHotplug::gone(uint32_t cpu) {
  const Lock lock(mutex_);
  cpus_.at(cpu) = {};
}

std::vector<uint32_t> CpuHotplug::leaving() const {
  const Lock lock(mutex_);
  std::vector<uint32_t> cpus;
  for (uint32_t cpu = 0; cpu < cpus_.size(); ++cpu) {
    if (cpus_[cpu].leaving) {
      cpus.push_back(cpu);
    }
  }
  return cpus;
}

uint32_t CpuHotplug::take_news() {
  for (uint32_t cpu = 0; cpu < cpus_.size(); ++cpu) {
    if (std::exchange(cpus_[cpu].came, false)) {
      return cpu | kCame << kNoticeShift;
    }
    if (std::exchange(cpus_[cpu].to_leave, false)) {
      return cpu | kShallGo << kNoticeShift;
    }
  }
  return 0;
}

uint64_t CpuHotplug::io_read(IoAccess access) {
  if (access.size != 4) {
    return 0;
  }
  const Lock lock(mutex_);
  switch (access.offset) {
    case kSelect: return selected_;
    case kStatus: return selected_ < cpus_.size() && cpus_[selected_].present ? kPresent : 0;
    case kNews: return take_news();
    default: return 0;
  }
}

void CpuHotplug::io_write(IoAccess access, uint64_t value) {
  if (access.size != 4) {
    return;
  }
  if (access.offset == kEject) {
    eject();
  } else if (access.offset == kOutcome) {
    told(static_cast<uint32_t>(value));
  } else if (access.offset == kSelect || access.offset == kEvent) {
    const Lock lock(mutex_);
    (access.offset == kSelect ? selected_ : event_) = static_cast<uint32_t>(value);
  }
}

void CpuHotplug::eject() {
  uint32_t cpu = 0;
  {
    const Lock lock(mutex_);
    cpu = selected_;
    if (cpu == 0 || cpu >= cpus_.size() || !cpus_[cpu].present) {
      return;
    }
    cpus_[cpu] = {};
  }
  hooks_.ejected(cpu);
}

void CpuHotplug::told(uint32_t outcome) {
  uint32_t cpu = 0;
  {
    const Lock lock(mutex_);
    cpu = selected_;
    if (event_ != ost::kEjectRequest || !ost::means_no(outcome) || cpu >= cpus_.size() || !cpus_[cpu].leaving) {
      return;
    }
    cpus_[cpu].leaving = false;
  }
  hooks_.refused(cpu);
}

void CpuHotplug::save(StateWriter& out) const {
  const Lock lock(mutex_);
  CpuHotplugState state{.selected = selected_, .event = event_, .came = {}, .to_leave = {}, .leaving = {}};
  for (uint32_t cpu = 0; cpu < cpus_.size(); ++cpu) {
    const auto note = [cpu](bool flag, std::vector<uint32_t>& list) {
      if (flag) {
        list.push_back(cpu);
      }
    };
    note(cpus_[cpu].came, state.came);
    note(cpus_[cpu].to_leave, state.to_leave);
    note(cpus_[cpu].leaving, state.leaving);
  }
  out.put("cpu-hotplug0", state);
}

void CpuHotplug::reset() {
  const Lock lock(mutex_);
  selected_ = 0;
  event_ = 0;
  for (Cpu& cpu : cpus_) {
    cpu.came = false;
    cpu.to_leave = false;
  }
}

}  // namespace lodge
