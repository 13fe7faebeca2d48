#include "libvirt-driver/domains/tuning.h"

#include "libvirt-driver/domains/threads.h"

namespace lodge {
namespace {

bool is_set(const ThreadLimit& limit) { return limit.period || limit.quota; }

}  // namespace

Answer<void> apply_memory_tuning(const DomainConfig& live, const Cgroup& cgroup) {
  const MemoryTune& memory = live.memory_tune;
  if (memory.hard_limit || memory.soft_limit || memory.swap_hard_limit) {
    TRY_VOID(cgroup.set_memory(memory));
  }
  const NumaTune& numa = live.numa_tune;
  if (!numa.nodeset.ids.empty() && (numa.mode == NumaMode::strict || numa.mode == NumaMode::restrictive)) {
    TRY_VOID(cgroup.set_nodes(numa.nodeset));
  }
  return {};
}

Answer<void> apply_tuning(const DomainConfig& live, const Run& run) {
  const CpuTune& cpu = live.cpu_tune;
  if (cpu.shares) {
    TRY_VOID(run.cgroup.set_shares(*cpu.shares));
  }
  if (const ThreadLimit limit{cpu.global_period, cpu.global_quota}; is_set(limit)) {
    TRY_VOID(run.cgroup.set_limit(limit));
  }
  const ThreadLimit of_vcpus{cpu.period, cpu.quota};
  const ThreadLimit of_others{cpu.emulator_period, cpu.emulator_quota};
  if (is_set(of_vcpus) || is_set(of_others)) {
    const GuestThreads threads = TRY(guest_threads(run));
    if (is_set(of_vcpus)) {
      for (const auto& [number, thread] : threads.vcpus) {
        TRY_VOID(run.cgroup.set_thread_limit(fmt::format("vcpu{}", number), {&thread, 1}, of_vcpus));
      }
    }
    if (is_set(of_others)) {
      TRY_VOID(run.cgroup.set_thread_limit("emulator", threads.others, of_others));
    }
  }
  if (live.blkio.weight || !live.blkio.devices.empty()) {
    TRY_VOID(run.cgroup.set_io(live.blkio));
  }
  return {};
}

}  // namespace lodge
