#include "libvirt-driver/domains/proc_stat.h"

#include <unistd.h>

#include <charconv>
#include <string>
#include <vector>

#include "base/fd.h"

namespace lodge {
namespace {

constexpr uint64_t kNanoseconds = 1'000'000'000;

// The fields behind the program's name of /proc/.../stat: [0] is field 3, the state.
std::vector<std::string> stat_fields(const std::string& path) {
  std::vector<std::string> fields;
  const auto text = read_file(path, 4096);
  const size_t begin = text ? text->rfind(')') : std::string::npos;
  if (begin == std::string::npos) {
    return fields;
  }
  size_t at = begin + 2;
  while (at < text->size()) {
    const size_t end = std::min(text->find(' ', at), text->size());
    fields.push_back(text->substr(at, end - at));
    at = end + 1;
  }
  return fields;
}

uint64_t number(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// A field by its number in proc(5).
uint64_t field(const std::vector<std::string>& fields, size_t number_in_manual) {
  return fields.size() > number_in_manual - 3 ? number(fields[number_in_manual - 3]) : 0;
}

uint64_t from_ticks(uint64_t ticks) { return ticks * (kNanoseconds / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK))); }

}  // namespace

CpuTime process_cpu_time(pid_t pid) {
  const auto fields = stat_fields(fmt::format("/proc/{}/stat", pid));
  CpuTime time;
  time.user = from_ticks(field(fields, 14));
  time.system = from_ticks(field(fields, 15));
  time.total = time.user + time.system;
  return time;
}

ThreadStat thread_stat(pid_t process, pid_t thread) {
  const std::string folder = fmt::format("/proc/{}/task/{}", process, thread);
  const auto fields = stat_fields(folder + "/stat");
  ThreadStat stat;
  if (fields.empty()) {
    return stat;
  }
  stat.processor = static_cast<int>(field(fields, 39));
  stat.running = fields.front() == "R";
  // "ns on a processor, ns in line, slices"; missing where the kernel does not count
  if (const auto text = read_file(folder + "/schedstat", 256)) {
    stat.time = number(*text);
    const size_t space = text->find(' ');
    stat.wait = space == std::string::npos ? 0 : number(text->substr(space + 1));
  } else {
    stat.time = from_ticks(field(fields, 14) + field(fields, 15));
  }
  return stat;
}

ProcessMemory process_memory(pid_t pid) {
  const auto fields = stat_fields(fmt::format("/proc/{}/stat", pid));
  return {.rss_kib = field(fields, 24) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024,
          .major_faults = field(fields, 12),
          .minor_faults = field(fields, 10)};
}

}  // namespace lodge
