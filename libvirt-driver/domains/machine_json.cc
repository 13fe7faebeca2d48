#include "libvirt-driver/domains/machine_json.h"

#include <ctime>

#include "libvirt-driver/domains/boot_json.h"
#include "libvirt-driver/domains/card_json.h"
#include "libvirt-driver/domains/clock.h"
#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/domains/input_json.h"
#include "libvirt-driver/domains/platform_json.h"
#include "libvirt-driver/domains/usb_json.h"
#include "libvirt-driver/domains/vcpus.h"
#include "libvirt-driver/host/offered.h"

namespace lodge {
namespace {

Json cpu_json(const DomainConfig& config) {
  Json cpu = Json::object();
  add_vcpus(cpu, config.vcpus);
  if (!config.cpu) {
    return cpu;
  }
  const CpuConfig& wanted = *config.cpu;
  if (wanted.topology) {
    cpu["sockets"] = wanted.topology->sockets;
    cpu["dies"] = wanted.topology->dies;
    cpu["cores"] = wanted.topology->cores;
    cpu["threads"] = wanted.topology->threads;
  }
  switch (wanted.mode) {
    case CpuMode::host_model: cpu["model"] = "host-model"; break;
    case CpuMode::custom:
      if (!wanted.model.empty()) {
        cpu["model"] = wanted.model;
      }
      break;
    default: break;
  }
  Json features = Json::array();
  for (const CpuFeature& feature : wanted.features) {
    std::string_view sign = "+";
    switch (feature.policy) {
      case CpuPolicy::force: sign = "!"; break;
      case CpuPolicy::optional: sign = "?"; break;
      case CpuPolicy::disable:
      case CpuPolicy::forbid: sign = "-"; break;
      default: break;
    }
    features.push_back(fmt::format("{}{}", sign, feature.name));
  }
  if (!features.empty()) {
    cpu["features"] = features;
  }
  for (const Timer& timer : config.clock.timers) {
    if (timer.name == TimerName::tsc && timer.frequency_hz) {
      cpu["tsc_khz"] = *timer.frequency_hz / 1000;
    }
  }
  return cpu;
}

Json memory_json(const DomainConfig& config) {
  const uint64_t kib = config.memory;
  Json memory{{"size_mib", (kib + 1023) / 1024}};
  const MemoryBacking& backing = config.backing;
  if (backing.hugepages) {
    memory["backing"] = "hugetlb";
    if (!backing.hugepages->empty() && backing.hugepages->front().size) {
      memory["hugepage_kib"] = *backing.hugepages->front().size;
    }
  } else if (backing.source == MemorySource::memfd || backing.access == MemoryAccess::shared) {
    memory["backing"] = "memfd";
  }
  if (backing.allocation == MemoryAllocation::immediate || backing.locked) {
    memory["prealloc"] = true;
  }
  if (backing.nosharepages) {
    memory["mergeable"] = false;
  }
  Json cells = Json::array();
  if (config.cpu) {
    for (const GuestNumaCell& cell : config.cpu->numa) {
      Json told{{"memory_mib", cell.memory.value_or(0) / 1024}, {"cpus", cell.cpus.ids}};
      if (!cell.distances.empty()) {
        std::vector<uint32_t> distances(config.cpu->numa.size(), 20);
        for (const NumaDistance& distance : cell.distances) {
          if (distance.id < distances.size()) {
            distances[distance.id] = distance.value;
          }
        }
        told["distances"] = distances;
      }
      cells.push_back(told);
    }
  }
  if (!cells.empty()) {
    memory["cells"] = cells;
  }
  return memory;
}

Answer<Json> char_json(const CharSource& source, std::string_view path, const CharFds& fds) {
  Json json;
  switch (source.type) {
    case CharType::pty: json["kind"] = "pty"; break;
    case CharType::null: json["kind"] = "null"; break;
    case CharType::file:
      json["kind"] = "file";
      json["path"] = source.path;
      json["fd"] = fds.file.file;
      break;
    case CharType::unix_socket:
      json["kind"] = "socket";
      json["path"] = source.path;
      json["fd"] = fds.socket;
      json["server"] = source.mode != SocketMode::connect;
      break;
    case CharType::tcp:
    case CharType::dev:
      return unsupported(fmt::format("{}/@type", path),
                         fmt::format("this version of Lodge has no character device of type '{}'", xml_word(source.type)));
  }
  if (!source.log_file.empty()) {
    json["log"] = source.log_file;
    json["log_fd"] = fds.log.file;
  }
  return json;
}

Answer<void> add_chars(Json& machine, const DomainConfig& config, const MachineFds& fds) {
  const DomainDevices& devices = config.devices;
  const auto fds_of = [&fds](const std::string& alias) {
    const auto it = fds.chars.find(alias);
    return it == fds.chars.end() ? CharFds() : it->second;
  };
  Json serials = Json::array();
  for (size_t i = 0; i < devices.serials.size(); ++i) {
    const DomainSerial& serial = devices.serials[i];
    serials.push_back(TRY(char_json(serial.source, fmt::format("/domain/devices/serial[{}]", i + 1), fds_of(serial.alias))));
  }
  if (!serials.empty()) {
    machine["serials"] = serials;
  }
  Json parallels = Json::array();
  for (const DomainParallel& parallel : devices.parallels) {
    const size_t place = parallel.port.value_or(0);
    while (parallels.size() <= place) {
      parallels.push_back({{"kind", "none"}});
    }
    parallels[place] = TRY(char_json(parallel.source, "/domain/devices/parallel", fds_of(parallel.alias)));
  }
  if (!parallels.empty()) {
    machine["parallels"] = parallels;
  }
  for (size_t i = 0; i < devices.consoles.size(); ++i) {
    const DomainConsole& console = devices.consoles[i];
    const std::string path = fmt::format("/domain/devices/console[{}]", i + 1);
    if (console.target != ConsoleTarget::virtio) {
      continue;  // the first serial port's twin
    }
    if (machine.contains("console")) {
      return unsupported(path, "this version of Lodge has one virtio console");
    }
    machine["console"] = TRY(char_json(console.source, path, fds_of(console.alias)));
  }
  Json channels = Json::array();
  for (size_t i = 0; i < devices.channels.size(); ++i) {
    const DomainChannel& channel = devices.channels[i];
    Json json = TRY(char_json(channel.source, fmt::format("/domain/devices/channel[{}]", i + 1), fds_of(channel.alias)));
    json["name"] = channel.name;
    channels.push_back(json);
  }
  if (!channels.empty()) {
    machine["channels"] = channels;
  }
  return {};
}

void add_log_limits(Json& machine, const MachineFds& fds) {
  Json limits = Json::array();
  const auto add = [&](const LogFds& log) {
    if (log.file >= 0) {
      limits.push_back({{"log", log.file}, {"max_size", fds.max_log}, {"backup_fds", log.backups}});
    }
  };
  add(fds.log);
  for (const auto& [alias, of_char] : fds.chars) {
    add(of_char.file);
    add(of_char.log);
  }
  machine["log_limits"] = limits;
}

Answer<void> add_small(Json& machine, const DomainConfig& config) {
  const DomainDevices& devices = config.devices;
  if (!devices.rngs.empty()) {
    const DomainRng& rng = devices.rngs.front();
    if (devices.rngs.size() > 1) {
      return unsupported("/domain/devices/rng[2]", "this version of Lodge has one random number device");
    }
    if (rng.backend == RngBackend::egd) {
      return unsupported("/domain/devices/rng/backend/@model", "only 'random' and 'builtin' are offered");
    }
    Json json{{"enabled", true}};
    if (rng.rate_bytes) {
      json["bytes"] = *rng.rate_bytes;
      json["period_ms"] = rng.rate_period_ms.value_or(1000);
    }
    add_slot(json, rng);
    machine["rng"] = json;
  }
  if (devices.memballoon && devices.memballoon->model != BalloonModel::none) {
    Json json{{"enabled", true},
              {"deflate_on_oom", devices.memballoon->autodeflate == OnOff::on},
              {"free_page_reporting", devices.memballoon->free_page_reporting == OnOff::on}};
    add_slot(json, *devices.memballoon);
    machine["balloon"] = json;
  }
  machine["panic"] = !devices.panics.empty();
  for (const DomainController& controller : devices.controllers) {
    if (controller.type == ControllerType::virtio_serial && controller.address) {
      if (const auto* pci = std::get_if<PciAddress>(&*controller.address)) {
        machine["virtio_serial"] = {{"slot", pci->slot}};
      }
    }
  }
  return {};
}

std::string sysinfo_value(const std::vector<NameValue>& entries, std::string_view name) {
  for (const NameValue& entry : entries) {
    if (entry.name == name) {
      return entry.value;
    }
  }
  return "";
}

Json smbios_json(const DomainConfig& config) {
  Json json{{"uuid", print_uuid(config.uuid)}};
  if (config.os.smbios == SmbiosMode::sysinfo && config.sysinfo) {
    for (const char* name : {"manufacturer", "product", "serial"}) {
      if (const std::string value = sysinfo_value(config.sysinfo->system, name); !value.empty()) {
        json[name] = value;
      }
    }
  }
  return json;
}

std::string_view action(LifecycleAction wanted, std::string_view otherwise) {
  switch (wanted) {
    case LifecycleAction::destroy: return "destroy";
    case LifecycleAction::restart: return "restart";
    case LifecycleAction::preserve: return "preserve";
    default: return otherwise;
  }
}

// Disks and interfaces, which firmware may boot from.
Answer<void> add_drives(Json& machine, const DomainConfig& config, const MachineFds& fds) {
  const auto places = has_firmware(config) ? boot_places(config) : std::map<std::string, uint32_t>();
  const auto add_place = [&places](Json& json, const std::string& alias) {
    const auto it = places.find(alias);
    if (it != places.end()) {
      json["boot"] = it->second;
    }
    return it != places.end();
  };
  Json disks = Json::array();
  for (const DomainDisk& disk : config.devices.disks) {
    Json json = TRY(disk_json(disk));
    if (const auto it = fds.disks.find(disk.alias); it != fds.disks.end()) {
      json["fd"] = it->second;
    }
    add_place(json, disk.alias);
    disks.push_back(json);
  }
  machine["disks"] = disks;
  Json nets = Json::array();
  for (const DomainInterface& interface : config.devices.interfaces) {
    Json net = TRY(interface_json(interface));
    if (const auto it = fds.taps.find(interface.alias); it != fds.taps.end()) {
      net["fds"] = it->second;
    }
    if (const auto it = fds.vhosts.find(interface.alias); it != fds.vhosts.end()) {
      net["vhost_fds"] = it->second;
    }
    if (add_place(net, interface.alias) && !is_uefi(config.os)) {  // which has drivers of its own
      net["rom"] = option_rom(interface);
      if (const auto it = fds.roms.find(interface.alias); it != fds.roms.end()) {
        net["rom_fd"] = it->second;
      }
    }
    nets.push_back(net);
  }
  machine["nets"] = nets;
  return {};
}

// Of a pc. Ticks of the 8254 timer are the kernel's: it gives them later or not at all.
Answer<Json> clock_json(const Clock& clock) {
  Json json = Json::object();
  if (const int64_t offset = TRY(clock_offset(clock, ::time(nullptr))); offset != 0) {
    json["offset_seconds"] = offset;
  }
  for (const Timer& timer : clock.timers) {
    if (timer.name == TimerName::pit && timer.tick_policy == TickPolicy::discard) {
      json["lost_ticks"] = "discard";
    }
  }
  return json;
}

}  // namespace

Json ending_json(const DomainConfig& config) {
  Json json = Json::object();
  json["on_poweroff"] = action(config.on_poweroff, "destroy");
  json["on_reboot"] = action(config.on_reboot, "restart");
  switch (config.on_crash) {
    case CrashAction::restart:
    case CrashAction::coredump_restart: json["on_crash"] = "restart"; break;
    case CrashAction::preserve: json["on_crash"] = "preserve"; break;
    default: json["on_crash"] = "destroy"; break;
  }
  return json;
}

Answer<Json> machine_json(const DomainConfig& config, const MachineFds& fds) {
  TRY_VOID(refuse_devices(config));
  TRY_VOID(check_platform(config));
  Json machine{{"name", config.name}, {"machine", is_microvm(config) ? "microvm" : "pc"}, {"start_paused", true}};
  machine["cpu"] = cpu_json(config);
  machine["memory"] = memory_json(config);
  TRY_VOID(add_boot(machine, config, fds));
  machine["smbios"] = smbios_json(config);
  if (!is_microvm(config)) {
    Json clock = TRY(clock_json(config.clock));
    if (!clock.empty()) {
      machine["clock"] = std::move(clock);
    }
  }
  machine.update(ending_json(config));
  TRY_VOID(add_drives(machine, config, fds));
  TRY_VOID(add_chars(machine, config, fds));
  add_log_limits(machine, fds);
  TRY_VOID(add_small(machine, config));
  TRY_VOID(add_video(machine, config, fds));
  add_usb(machine, config);
  TRY_VOID(add_inputs(machine, config));
  add_watchdog(machine, config);
  add_platform(machine, config, fds);
  if (config.iothreads) {
    machine["io_threads"] = *config.iothreads;
  }
  machine["end_fd"] = fds.end;
  machine["kvm_fd"] = fds.kvm;
  machine["control_fd"] = fds.control;
  return machine;
}

}  // namespace lodge
