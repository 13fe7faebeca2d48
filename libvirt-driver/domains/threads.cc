#include "libvirt-driver/domains/threads.h"

#include <libvirt/libvirt.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace lodge {

bool is_thread_of(const Process& process, pid_t thread) {
  const std::string folder = fmt::format("/proc/{}/task/{}", process.pid, thread);
  // In this order: a process that runs still had its number when we looked.
  return thread > 0 && ::access(folder.c_str(), F_OK) == 0 && !wait_for_end(process, 0);
}

Answer<GuestThreads> threads_in(const Process& process, const Json& cpus) {
  GuestThreads threads;
  for (const Json& cpu : objects_in(cpus)) {
    const auto number = integer_in<uint32_t>(cpu, "cpu-index");
    const auto thread = integer_in<pid_t>(cpu, "thread-id");
    if (!is_thread_of(process, thread)) {
      return call_error(VIR_ERR_OPERATION_FAILED,
                        "the monitor names thread {} as vCPU {}'s, which is none of process {}; the "
                        "guest may have broken out of it, or the vCPU has just gone",
                        thread, number, process.pid);
    }
    threads.vcpus.emplace(number, thread);
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process.pid), error)) {
    const std::string name = entry.path().filename();
    pid_t thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    if (std::ranges::none_of(threads.vcpus, [thread](const auto& vcpu) { return vcpu.second == thread; })) {
      threads.others.push_back(thread);
    }
  }
  return threads;
}

Answer<GuestThreads> guest_threads(const Run& run) {
  return threads_in(run.process, TRY(run.monitor->execute("query-cpus")));
}

}  // namespace lodge
