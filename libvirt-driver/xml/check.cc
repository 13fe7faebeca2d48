// check(): a domain as a whole. Its devices are checked in check_devices.cc.
#include <algorithm>
#include <set>

#include "libvirt-driver/xml/check_devices.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/uuid.h"

namespace lodge {
namespace {

constexpr size_t kMostNameBytes = 200;  // file names are made of it
constexpr uint32_t kMostVcpus = 16384;

Answer<void> check_identity(const DomainConfig& config) {
  if (config.virt_type.empty()) {
    return call_error(VIR_ERR_XML_ERROR, "Missing required attribute 'type' in element 'domain'");
  }
  if (config.virt_type != "kvm") {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/@type: '{}' is not offered; it must be 'kvm'", config.virt_type);
  }
  if (config.name.empty()) {
    return call_error(VIR_ERR_NO_NAME, "missing domain name information");
  }
  if (config.name.find('/') != std::string::npos) {
    return call_error(VIR_ERR_XML_ERROR, "name {} cannot contain '/'", config.name);
  }
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(config.name, is_control)) {
    return call_error(VIR_ERR_XML_ERROR, "the domain's name has a line break or another control character in it");
  }
  if (config.name == "." || config.name == "..") {
    return call_error(VIR_ERR_XML_ERROR, "name '{}' is a directory's; choose another one", config.name);
  }
  if (config.name.size() > kMostNameBytes) {
    return call_error(VIR_ERR_XML_ERROR, "the domain's name has {} bytes; at most {} are possible", config.name.size(),
                      kMostNameBytes);
  }
  if (trimmed(config.name).empty()) {
    return call_error(VIR_ERR_XML_ERROR, "name must contain at least one character that is not blank");
  }
  if (config.title.find('\n') != std::string::npos) {
    return call_error(VIR_ERR_XML_ERROR, "Domain title can't contain newlines");
  }
  if (config.os.type.empty()) {
    return call_error(VIR_ERR_XML_ERROR, "an os <type> must be specified");
  }
  if (config.os.type != "hvm") {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/os/type: '{}' is not offered; it must be 'hvm'", config.os.type);
  }
  if (!config.os.arch.empty() && config.os.arch != "x86_64") {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/os/type/@arch: '{}' is not offered; it must be 'x86_64'",
                      config.os.arch);
  }
  return {};
}

Answer<void> check_os(const DomainConfig& config) {
  constexpr uint32_t kMostMs = 65535;
  const OsConfig& os = config.os;
  if (os.boot_menu_timeout_ms.value_or(0) > kMostMs) {
    return call_error(VIR_ERR_XML_ERROR, "invalid value for boot menu timeout, must be in range [0,{}]", kMostMs);
  }
  const int32_t wait = os.reboot_timeout_ms.value_or(0);
  if (wait < -1 || wait > static_cast<int32_t>(kMostMs)) {
    return call_error(VIR_ERR_XML_ERROR, "invalid value for rebootTimeout, must be in range [-1,{}]", kMostMs);
  }
  if (os.useserial == YesNo::yes && config.devices.serials.empty()) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/os/bios/@useserial: the domain has no <serial> to be used");
  }
  if (!os.loader.empty() && os.loader.front() != '/') {
    return call_error(VIR_ERR_XML_ERROR, "/domain/os/loader: path '{}' must be absolute", os.loader);
  }
  return {};
}

// As libvirt has it, whether the guest is shown it or not.
Answer<void> check_sysinfo(const DomainConfig& config) {
  if (!config.sysinfo) {
    return {};
  }
  for (const NameValue& entry : config.sysinfo->system) {
    if (entry.name != "uuid") {
      continue;
    }
    const auto uuid = parse_uuid(entry.value);
    if (!uuid) {
      return call_error(VIR_ERR_XML_DETAIL, "malformed <sysinfo> uuid element: '{}' is no UUID", entry.value);
    }
    if (*uuid != config.uuid) {
      return call_error(VIR_ERR_XML_DETAIL, "UUID mismatch between <uuid> and <sysinfo>: {} and {}", print_uuid(config.uuid),
                        print_uuid(*uuid));
    }
  }
  return {};
}

Answer<void> check_memory(const DomainConfig& config) {
  constexpr uint64_t kMostKib = uint64_t{1} << 42;  // 4 PiB: what 52 address bits hold
  if (config.memory == 0) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/memory is missing or 0; give the guest some memory");
  }
  if (config.memory > kMostKib) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/memory: {} KiB are more than {}", config.memory, kMostKib);
  }
  if (config.current_memory > config.memory) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/currentMemory: {} KiB are more than the memory, {} KiB",
                      config.current_memory, config.memory);
  }
  if (config.max_memory != 0 && config.max_memory < config.memory) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/maxMemory: {} KiB are less than the memory, {} KiB", config.max_memory,
                      config.memory);
  }
  return {};
}

Answer<void> check_vcpus(const DomainConfig& config) {
  const Vcpus& vcpus = config.vcpus;
  if (vcpus.count == 0 || vcpus.count > kMostVcpus) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/vcpu: '{}' is not a number from 1 to {}", vcpus.count, kMostVcpus);
  }
  if (vcpus.current == 0U) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/vcpu/@current must be a number from 1");
  }
  if (vcpus.current.value_or(1) > vcpus.count) {
    return call_error(VIR_ERR_XML_ERROR, "maxvcpus must not be less than current vcpus ({} < {})", vcpus.count,
                      *vcpus.current);
  }
  if (config.cpu && config.cpu->topology) {
    const CpuTopology& topology = *config.cpu->topology;
    uint64_t product = topology.sockets;
    for (const uint32_t factor : {topology.dies, topology.cores, topology.threads}) {
      product = product > kMostVcpus ? product : product * factor;
    }
    if (product != vcpus.count) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "CPU topology doesn't match maximum vcpu count: {} and {}", product,
                        vcpus.count);
    }
  }
  std::set<uint32_t> seen;
  uint32_t enabled = 0;
  for (const VcpuEntry& entry : vcpus.entries) {
    if (entry.id >= vcpus.count) {
      return call_error(VIR_ERR_XML_ERROR, "vcpu id '{}' is not below the maximum, {}", entry.id, vcpus.count);
    }
    if (!seen.insert(entry.id).second) {
      return call_error(VIR_ERR_XML_ERROR, "vcpu '{}' is specified more than once in /domain/vcpus", entry.id);
    }
    if (entry.id == 0 && entry.enabled == YesNo::no) {
      return call_error(VIR_ERR_XML_ERROR, "vcpu '0' can't be offline");
    }
    enabled += entry.enabled == YesNo::yes ? 1 : 0;
  }
  if (!vcpus.entries.empty() && enabled != vcpus.current.value_or(vcpus.count)) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/vcpus enables {} vCPUs, /domain/vcpu {}", enabled,
                      vcpus.current.value_or(vcpus.count));
  }
  return {};
}

Answer<void> check_numa(const DomainConfig& config) {
  if (!config.cpu) {
    return {};
  }
  const auto& cells = config.cpu->numa;
  std::set<uint32_t> cpus;
  std::set<uint32_t> ids;
  uint64_t memory = 0;
  for (const GuestNumaCell& cell : cells) {
    const uint32_t id = cell.id.value_or(0);
    if (id >= cells.size() || !ids.insert(id).second) {
      return call_error(VIR_ERR_XML_ERROR, "/domain/cpu/numa: the ids of cells must be 0 to {}, each once",
                        cells.size() - 1);
    }
    if (cell.memory.value_or(0) == 0) {
      return call_error(VIR_ERR_XML_ERROR, "/domain/cpu/numa: cell {} has no memory", id);
    }
    if (__builtin_add_overflow(memory, *cell.memory, &memory)) {
      return call_error(VIR_ERR_XML_ERROR, "/domain/cpu/numa: the cells have too much memory");
    }
    for (const uint32_t cpu : cell.cpus.ids) {
      if (cpu >= config.vcpus.count) {
        return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "CPU IDs in <numa> exceed the <vcpu> count: {} of {}", cpu,
                          config.vcpus.count);
      }
      if (!cpus.insert(cpu).second) {
        return call_error(VIR_ERR_XML_ERROR, "NUMA cells have overlapping vCPU ids: {} is in two", cpu);
      }
    }
    for (const NumaDistance& distance : cell.distances) {
      constexpr uint32_t kLocal = 10;
      constexpr uint32_t kUnreachable = 255;
      if (distance.id >= cells.size() || distance.value < kLocal || distance.value > kUnreachable ||
          (distance.id == id) != (distance.value == kLocal)) {
        return call_error(VIR_ERR_XML_ERROR,
                          "NUMA cell {}: distance {} to cell {}: it is 10 to itself, 11 to 255 to another one of {}", id,
                          distance.value, distance.id, cells.size());
      }
    }
  }
  if (!cells.empty() && memory != config.memory) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/cpu/numa: the cells have {} KiB, the domain {} KiB", memory,
                      config.memory);
  }
  return {};
}

Answer<void> check_cpu(const DomainConfig& config) {
  if (!config.cpu) {
    return {};
  }
  const CpuConfig& cpu = *config.cpu;
  const bool fixed = cpu.mode == CpuMode::host_passthrough || cpu.mode == CpuMode::maximum;
  if (fixed && !cpu.model.empty()) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/cpu/model: mode '{}' takes the host's, '{}' must go",
                      xml_word(cpu.mode), cpu.model);
  }
  if (cpu.model.empty() && !cpu.features.empty() && (cpu.mode == CpuMode::custom || cpu.mode == CpuMode::absent)) {
    return call_error(VIR_ERR_XML_ERROR, "Non-empty feature list specified without CPU model");
  }
  std::set<std::string_view> seen;
  for (const CpuFeature& feature : cpu.features) {
    if (feature.name.empty()) {
      return call_error(VIR_ERR_XML_ERROR, "Invalid CPU feature name");
    }
    if (!seen.insert(feature.name).second) {
      return call_error(VIR_ERR_XML_ERROR, "CPU feature '{}' specified more than once", feature.name);
    }
  }
  return check_numa(config);
}

template <class T>
Answer<void> in_range(const char* name, const std::optional<T>& value, T least, T most) {
  if (value && (*value < least || *value > most)) {
    return call_error(VIR_ERR_XML_ERROR, "Value of cputune '{}' must be in range [{}, {}]", name, least, most);
  }
  return {};
}

Answer<void> check_quota(const char* name, const std::optional<int64_t>& value) {
  return value && *value < 0 ? Answer<void>() : in_range<int64_t>(name, value, 1000, 17592186044415);
}

Answer<void> check_tuning(const DomainConfig& config) {
  const CpuTune& tune = config.cpu_tune;
  TRY_VOID(in_range<uint64_t>("shares", tune.shares, 2, 262144));
  TRY_VOID(in_range<uint64_t>("period", tune.period, 1000, 1000000));
  TRY_VOID(in_range<uint64_t>("global_period", tune.global_period, 1000, 1000000));
  TRY_VOID(in_range<uint64_t>("emulator_period", tune.emulator_period, 1000, 1000000));
  TRY_VOID(in_range<uint64_t>("iothread_period", tune.iothread_period, 1000, 1000000));
  TRY_VOID(check_quota("quota", tune.quota));
  TRY_VOID(check_quota("global_quota", tune.global_quota));
  TRY_VOID(check_quota("emulator_quota", tune.emulator_quota));
  TRY_VOID(check_quota("iothread_quota", tune.iothread_quota));
  std::set<uint32_t> pinned;
  for (const CpuPin& pin : tune.vcpu_pins) {
    if (pin.id >= config.vcpus.count) {
      return call_error(VIR_ERR_XML_ERROR, "vcpupin: vcpu {} is not below the maximum, {}", pin.id, config.vcpus.count);
    }
    if (!pinned.insert(pin.id).second) {
      return call_error(VIR_ERR_XML_ERROR, "duplicate vcpupin for vcpu '{}'", pin.id);
    }
    if (pin.cpus.ids.empty()) {
      return call_error(VIR_ERR_XML_ERROR, "vcpupin of vcpu {} has no cpuset", pin.id);
    }
  }
  pinned.clear();
  for (const CpuPin& pin : tune.iothread_pins) {
    if (!has_iothread(config, pin.id)) {
      return call_error(VIR_ERR_XML_ERROR, "Cannot find 'iothread' : {}", pin.id);
    }
    if (!pinned.insert(pin.id).second) {
      return call_error(VIR_ERR_XML_ERROR, "duplicate iothreadpin for same iothread '{}'", pin.id);
    }
  }
  for (const NumaNode& node : config.numa_tune.nodes) {
    if (node.cell >= (config.cpu ? config.cpu->numa.size() : 0)) {
      return call_error(VIR_ERR_XML_ERROR,
                        "Argument 'cellid' in memnode element must correspond to existing guest's NUMA cell");
    }
  }
  return {};
}

}  // namespace

bool has_iothread(const DomainConfig& config, uint32_t id) {
  const auto& ids = config.iothread_ids;
  if (std::ranges::find(ids, id) != ids.end()) {
    return id != 0;
  }
  // Threads without an id of their own take the lowest that are free.
  const uint32_t given = static_cast<uint32_t>(ids.size());
  uint32_t left = config.iothreads.value_or(given) > given ? *config.iothreads - given : 0;
  for (uint32_t next = 1; left != 0 && next <= id; ++next) {
    if (std::ranges::find(ids, next) == ids.end()) {
      --left;
      if (next == id) {
        return true;
      }
    }
  }
  return false;
}

Answer<void> check(const DomainConfig& config) {
  TRY_VOID(check_identity(config));
  TRY_VOID(check_os(config));
  TRY_VOID(check_sysinfo(config));
  TRY_VOID(check_memory(config));
  TRY_VOID(check_vcpus(config));
  TRY_VOID(check_cpu(config));
  TRY_VOID(check_tuning(config));
  return check_devices(config);
}

}  // namespace lodge
