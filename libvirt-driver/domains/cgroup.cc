#include "libvirt-driver/domains/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/fd.h"
#include "libvirt-driver/domains/scope.h"

namespace lodge {
namespace {

constexpr std::string_view kMount = "/sys/fs/cgroup";
constexpr std::string_view kParent = "/machine";  // of guests' groups where systemd does not run
constexpr uint64_t kUsualPeriod = 100'000;        // us

// One write(2), as the kernel wants it.
Result<void> put(const std::string& path, const std::string& value) {
  const Fd fd = TRY(open_file(path, O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) < 0) {
    return fail_errno(errno, "write '{}' to '{}'", value, path);
  }
  return {};
}

std::string mounted(std::string_view path) { return fmt::format("{}{}", kMount, path); }

bool is_version_2() {
  struct statfs facts{};
  return ::statfs(std::string(kMount).c_str(), &facts) == 0 && facts.f_type == CGROUP2_SUPER_MAGIC;
}

// A group, with the controllers that its children may use; those that there are not do not matter.
Result<void> make_parent(std::string_view path) {
  const std::string folder = mounted(path);
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail_errno(errno, "create the control group '{}'", folder);
  }
  return {};
}
void offer_controllers(std::string_view path) {
  for (const char* controller : {"+cpu", "+memory", "+io", "+cpuset", "+pids"}) {
    (void)put(mounted(path) + "/cgroup.subtree_control", controller);
  }
}

std::string limit_text(const ThreadLimit& limit) {
  const std::string quota = limit.quota.value_or(-1) < 0 ? "max" : fmt::format("{}", *limit.quota);
  return fmt::format("{} {}", quota, limit.period.value_or(kUsualPeriod));
}

std::string memory_text(const OptionalKib& kib) {
  constexpr uint64_t kUnlimited = uint64_t{1} << 53;  // libvirt's, in KiB
  return kib && *kib < kUnlimited ? fmt::format("{}", *kib * 1024) : "max";
}

}  // namespace

Result<Cgroup> Cgroup::create(int32_t id, const std::string& name, pid_t pid) {
  if (systemd_runs()) {
    const std::string unit = scope_name(id, name);
    TRY_VOID(start_scope(unit, name, pid));
    return Cgroup(is_version_2() ? TRY(cgroup_of(pid)) : std::string());
  }
  if (!is_version_2()) {
    return fail("{} is no version 2 hierarchy", kMount);
  }
  offer_controllers("");
  TRY_VOID(make_parent(kParent));
  offer_controllers(kParent);
  // The scope's name is one that a file can have.
  Cgroup cgroup(fmt::format("{}/{}", kParent, scope_name(id, name)));
  TRY_VOID(make_parent(cgroup.path_));
  if (const auto placed = put(cgroup.file("cgroup.procs"), fmt::format("{}", pid)); !placed) {
    cgroup.remove();
    return std::unexpected(placed.error());
  }
  return cgroup;
}

std::string Cgroup::file(std::string_view name) const { return fmt::format("{}{}/{}", kMount, path_, name); }

Result<void> Cgroup::add(pid_t pid) const {
  return exists() ? put(file("cgroup.procs"), fmt::format("{}", pid)) : Result<void>();
}

Answer<void> Cgroup::need(std::string_view controller) const {
  const auto there = exists() ? read_file(file("cgroup.controllers"), 4096) : Result<std::string>();
  if (!exists() || !there ||
      fmt::format(" {} ", there->substr(0, there->find('\n'))).find(fmt::format(" {} ", controller)) == std::string::npos) {
    return call_error(VIR_ERR_OPERATION_INVALID, "cgroup controller '{}' is not available on this host{}", controller,
                      exists() ? fmt::format(" for '{}'", path_) : "; it needs cgroups of version 2");
  }
  return {};
}

Answer<void> Cgroup::write(std::string_view name, const std::string& value) const {
  if (const auto written = put(file(name), value); !written) {
    return std::unexpected(CallError(written.error()));
  }
  return {};
}

Answer<uint64_t> Cgroup::shares() const {
  TRY_VOID(need("cpu"));
  const auto text = read_file(file("cpu.weight"), 64);
  uint64_t value = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc()) {
    return call_error(VIR_ERR_OPERATION_FAILED, "'{}' cannot be read", file("cpu.weight"));
  }
  return value;
}

Answer<void> Cgroup::set_shares(uint64_t shares) const {
  TRY_VOID(need("cpu"));
  constexpr uint64_t kMost = 10'000;
  if (shares < 1 || shares > kMost) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "shares of {}: with cgroups of version 2 they are 1 to {}", shares, kMost);
  }
  return write("cpu.weight", fmt::format("{}", shares));
}

Answer<void> Cgroup::set_limit(const ThreadLimit& limit) const {
  TRY_VOID(need("cpu"));
  return write("cpu.max", limit_text(limit));
}

Answer<void> Cgroup::set_thread_limit(const std::string& group, std::span<const pid_t> threads,
                                      const ThreadLimit& limit) const {
  TRY_VOID(need("cpu"));
  const std::string folder = file(group);
  const bool fresh = ::mkdir(folder.c_str(), 0755) == 0;
  if (!fresh && errno != EEXIST) {
    return std::unexpected(CallError(fail_errno(errno, "create the control group '{}'", folder).error()));
  }
  if (fresh) {
    TRY_VOID(write(group + "/cgroup.type", "threaded"));
    TRY_VOID(write("cgroup.subtree_control", "+cpu"));
  }
  for (const pid_t thread : threads) {
    TRY_VOID(write(group + "/cgroup.threads", fmt::format("{}", thread)));
  }
  return write(group + "/cpu.max", limit_text(limit));
}

Answer<void> Cgroup::set_memory(const MemoryTune& tune) const {
  TRY_VOID(need("memory"));
  if (tune.swap_hard_limit && tune.hard_limit && *tune.swap_hard_limit < *tune.hard_limit) {
    return call_error(VIR_ERR_INVALID_ARG, "memory hard_limit tunable value must be lower than or equal to swap_hard_limit");
  }
  TRY_VOID(write("memory.max", memory_text(tune.hard_limit)));
  TRY_VOID(write("memory.high", memory_text(tune.soft_limit)));
  if (tune.swap_hard_limit) {  // memory and swap together in libvirt's words, swap alone in the kernel's
    OptionalKib swap = *tune.swap_hard_limit - std::min(tune.hard_limit.value_or(0), *tune.swap_hard_limit);
    TRY_VOID(write("memory.swap.max", memory_text(swap)));
  }
  return {};
}

Answer<void> Cgroup::set_io(const BlkioTune& tune) const {
  TRY_VOID(need("io"));
  std::error_code error;
  const bool bfq = std::filesystem::exists(file("io.bfq.weight"), error);
  const std::string_view weights = bfq ? "io.bfq.weight" : "io.weight";
  if (tune.weight) {
    TRY_VOID(write(weights, bfq ? fmt::format("{}", *tune.weight) : fmt::format("default {}", *tune.weight)));
  }
  for (const BlkioDevice& device : tune.devices) {
    struct stat facts{};
    if (::stat(device.path.c_str(), &facts) != 0 || !S_ISBLK(facts.st_mode)) {
      return call_error(VIR_ERR_INVALID_ARG, "'{}' is no block device", device.path);
    }
    const std::string number = fmt::format("{}:{}", major(facts.st_rdev), minor(facts.st_rdev));
    if (device.weight) {
      TRY_VOID(write(weights, fmt::format("{} {}", number, *device.weight)));
    }
    const auto most = [](const std::optional<uint64_t>& value) {
      return value.value_or(0) == 0 ? std::string("max") : fmt::format("{}", *value);
    };
    TRY_VOID(
        write("io.max", fmt::format("{} rbps={} wbps={} riops={} wiops={}", number, most(device.read_bytes_sec),
                                    most(device.write_bytes_sec), most(device.read_iops_sec), most(device.write_iops_sec))));
  }
  return {};
}

Answer<void> Cgroup::set_nodes(const IdSet& nodes) const {
  TRY_VOID(need("cpuset"));
  return write("cpuset.mems", print_id_set(nodes));
}

void Cgroup::remove() const {
  if (!exists() || systemd_runs()) {  // an empty scope goes by itself
    return;
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(mounted(path_), error)) {
    if (entry.is_directory(error)) {
      ::rmdir(entry.path().c_str());
    }
  }
  ::rmdir(mounted(path_).c_str());
}

}  // namespace lodge
