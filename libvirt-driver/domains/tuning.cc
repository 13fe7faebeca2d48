#include "libvirt-driver/domains/tuning.h"

#include <algorithm>
#include <filesystem>

namespace lodge {
namespace {

bool is_set(const ThreadLimit& limit) { return limit.period || limit.quota; }

struct Threads {
  std::vector<pid_t> vcpus;
  std::vector<pid_t> others;
};

Answer<Threads> threads_of(const Run& run) {
  Threads threads;
  const Json cpus = TRY(run.monitor->execute("query-cpus"));
  for (const Json& cpu : cpus) {
    threads.vcpus.push_back(cpu.value("thread-id", pid_t{0}));
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", run.process.pid), error)) {
    const pid_t thread = std::stoi(entry.path().filename());
    if (std::ranges::find(threads.vcpus, thread) == threads.vcpus.end()) {
      threads.others.push_back(thread);
    }
  }
  return threads;
}

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
    const Threads threads = TRY(threads_of(run));
    for (size_t i = 0; is_set(of_vcpus) && i < threads.vcpus.size(); ++i) {
      TRY_VOID(run.cgroup.set_thread_limit(fmt::format("vcpu{}", i), std::span(threads.vcpus).subspan(i, 1), of_vcpus));
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
