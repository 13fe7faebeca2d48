#include "libvirt-driver/domains/affinity.h"

#include <sched.h>
#include <unistd.h>

#include "libvirt-driver/domains/threads.h"

namespace lodge {
namespace {

// A CPU set of any size.
class CpuSet {
 public:
  explicit CpuSet(uint32_t cpus) : count_(std::max(cpus, 1024U)), set_(CPU_ALLOC(count_)) { CPU_ZERO_S(size(), set_); }
  ~CpuSet() { CPU_FREE(set_); }
  CpuSet(const CpuSet&) = delete;
  CpuSet& operator=(const CpuSet&) = delete;
  [[nodiscard]] size_t size() const { return CPU_ALLOC_SIZE(count_); }
  [[nodiscard]] cpu_set_t* get() { return set_; }
  void add(uint32_t cpu) { CPU_SET_S(cpu, size(), set_); }
  [[nodiscard]] bool has(uint32_t cpu) const { return CPU_ISSET_S(cpu, size(), set_); }
  [[nodiscard]] uint32_t count() const { return count_; }

 private:
  uint32_t count_;
  cpu_set_t* set_;
};

}  // namespace

CpuBitmap to_bitmap(const IdSet& cpus, size_t bytes) {
  CpuBitmap bitmap(bytes);
  for (const uint32_t cpu : cpus.ids) {
    if (cpu / 8 < bytes) {
      bitmap[cpu / 8] = static_cast<uint8_t>(bitmap[cpu / 8] | (1U << (cpu % 8)));
    }
  }
  return bitmap;
}

IdSet to_set(std::span<const uint8_t> bitmap) {
  IdSet set;
  for (size_t i = 0; i < bitmap.size() * 8; ++i) {
    if ((bitmap[i / 8] >> (i % 8) & 1) != 0) {
      set.ids.push_back(static_cast<uint32_t>(i));
    }
  }
  return set;
}

uint32_t host_cpu_count() { return static_cast<uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF))); }

Answer<void> pin_thread(pid_t thread, const IdSet& cpus) {
  CpuSet set(cpus.ids.empty() ? 0 : cpus.ids.back() + 1);
  for (const uint32_t cpu : cpus.ids) {
    set.add(cpu);
  }
  if (::sched_setaffinity(thread, set.size(), set.get()) != 0) {
    return std::unexpected(
        CallError(fail_errno(errno, "cannot set CPU affinity of thread {} to {}", thread, print_id_set(cpus)).error()));
  }
  return {};
}

Answer<IdSet> thread_cpus(pid_t thread) {
  CpuSet set(host_cpu_count());
  if (::sched_getaffinity(thread, set.size(), set.get()) != 0) {
    return std::unexpected(CallError(fail_errno(errno, "look at the CPU affinity of thread {}", thread).error()));
  }
  IdSet cpus;
  for (uint32_t cpu = 0; cpu < std::min(set.count(), host_cpu_count()); ++cpu) {
    if (set.has(cpu)) {
      cpus.ids.push_back(cpu);
    }
  }
  return cpus;
}

Answer<void> apply_affinity(const DomainConfig& live, Run& run) {
  const IdSet& common = live.vcpus.cpuset;
  const bool emulator = !live.cpu_tune.emulator_pin.ids.empty();
  if (common.ids.empty() && !emulator && live.cpu_tune.vcpu_pins.empty()) {
    return {};
  }
  const GuestThreads threads = TRY(guest_threads(run));
  for (const auto& [index, thread] : threads.vcpus) {
    const IdSet* wanted = &common;
    for (const CpuPin& pin : live.cpu_tune.vcpu_pins) {
      if (pin.id == index) {
        wanted = &pin.cpus;
      }
    }
    if (!wanted->ids.empty()) {
      TRY_VOID(pin_thread(thread, *wanted));
    }
  }
  const IdSet& rest = emulator ? live.cpu_tune.emulator_pin : common;
  if (!rest.ids.empty()) {
    for (const pid_t thread : threads.others) {
      TRY_VOID(pin_thread(thread, rest));
    }
  }
  return {};
}

}  // namespace lodge
