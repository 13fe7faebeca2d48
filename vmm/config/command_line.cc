#include "vmm/config/command_line.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/fd.h"
#include "base/uuid.h"
#include "vmm/config/complete.h"
#include "vmm/config/json.h"
#include "vmm/config/options.h"

namespace lodge {
namespace {

struct Option {
  std::string_view name;
  std::string_view value;  // how the help shows it; empty: a switch
  std::string_view help;
  Result<void> (*apply)(RunRequest& request, const std::string& value);
};

// "stdio", "pty", "none", "file=PATH", "socket=PATH", each with further key=value parts.
Result<CharSettings> parse_char(const std::string& text) {
  CharSettings settings;
  bool first = true;
  for (const auto& [key, value] : split_options(text)) {
    if (first && key.empty()) {
      TRY_VOID(set_option(settings, "kind", value));
    } else if (first && (key == "file" || key == "socket")) {
      TRY_VOID(set_option(settings, "kind", key));
      settings.path = value;
    } else {
      TRY_VOID(set_option(settings, key, value));
    }
    first = false;
  }
  if ((settings.kind == CharKind::file || settings.kind == CharKind::socket) && settings.path.empty() && settings.fd < 0) {
    return fail("needs a path or a descriptor");
  }
  return settings;
}

Result<void> apply_cpus(RunRequest& request, const std::string& text) {
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(request.config.cpu, key.empty() ? "count" : key, value));
  }
  return {};
}

Result<void> apply_memory(RunRequest& request, const std::string& text) {
  for (const auto& [key, value] : split_options(text)) {
    std::string number = value;
    const bool size = key.empty() || key == "size" || key == "size_mib";
    uint64_t scale = 1;
    if (size && !number.empty() && (number.back() == 'M' || number.back() == 'G')) {
      scale = number.back() == 'G' ? 1024 : 1;
      number.pop_back();
    }
    if (size) {
      request.config.memory.size_mib = TRY(parse_number(number, Bounds{0, (1ULL << 32) / scale})) * scale;
    } else {
      TRY_VOID(set_option(request.config.memory, key, value));
    }
  }
  return {};
}

Result<void> apply_cpu(RunRequest& request, const std::string& text) {
  for (const auto& [key, value] : split_options(text)) {
    if (!key.empty()) {
      TRY_VOID(set_option(request.config.cpu, key, value));
    } else if (!value.empty() && (value[0] == '+' || value[0] == '-' || value[0] == '?' || value[0] == '!')) {
      request.config.cpu.features.push_back(value);
    } else {
      request.config.cpu.model = value == "host" ? "host-passthrough" : value;
    }
  }
  return {};
}

Result<void> apply_disk(RunRequest& request, const std::string& text) {
  DiskSettings disk;
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(disk, key.empty() ? "path" : key == "readonly" ? "read_only" : key, value));
  }
  request.config.disks.push_back(std::move(disk));
  return {};
}

// A drive is there once it is mentioned; "none" or no path: it is empty.
Result<void> add_drive(RunRequest& request, DiskSettings disk, const std::string& text) {
  for (const auto& [key, value] : split_options(text)) {
    if (key.empty() && value == "none") {
      continue;
    }
    TRY_VOID(set_option(disk, key.empty() ? "path" : key, value));
  }
  request.config.disks.push_back(std::move(disk));
  return {};
}

Result<void> apply_cdrom(RunRequest& request, const std::string& text) {
  DiskSettings disk;
  disk.bus = "ide";
  disk.device = DiskDevice::cdrom;
  disk.read_only = true;
  return add_drive(request, std::move(disk), text);
}

Result<void> apply_floppy(RunRequest& request, const std::string& text) {
  DiskSettings disk;
  disk.bus = "fdc";
  disk.device = DiskDevice::floppy;
  return add_drive(request, std::move(disk), text);
}

Result<void> apply_firmware(RunRequest& request, const std::string& text) {
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(request.config.firmware, key.empty() ? "kind" : key, value));
  }
  return {};
}

Result<void> apply_video(RunRequest& request, const std::string& text) {
  request.config.video.enabled = true;
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(request.config.video, key.empty() ? "model" : key, value));
  }
  return {};
}

Result<void> apply_usb(RunRequest& request, const std::string& text) {
  request.config.usb.enabled = true;
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(request.config.usb, key.empty() ? "model" : key, value));
  }
  return {};
}

Result<void> apply_usb_device(RunRequest& request, const std::string& text) {
  UsbDeviceSettings device;
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(device, key.empty() ? "kind" : key, value));
  }
  request.config.usb_devices.push_back(std::move(device));
  return {};
}

Result<void> apply_input(RunRequest& request, const std::string& text) {
  InputSettings input;
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(input, key.empty() ? "kind" : key, value));
  }
  request.config.inputs.push_back(std::move(input));
  return {};
}

Result<void> apply_filesystem(RunRequest& request, const std::string& text) {
  FilesystemSettings filesystem;
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(filesystem, key.empty() ? "tag" : key, value));
  }
  request.config.filesystems.push_back(std::move(filesystem));
  return {};
}

Result<void> apply_net(RunRequest& request, const std::string& text) {
  NetSettings net;
  for (const auto& [key, value] : split_options(text)) {
    if (key.empty()) {
      TRY_VOID(set_option(net, "kind", value));
    } else if (key == "fd") {
      net.kind = NetKind::tap;
      TRY_VOID(set_option(net, "fds", value));
    } else {
      if (key == "tap") {
        net.kind = NetKind::tap;
      }
      TRY_VOID(set_option(net, key, value));
    }
  }
  request.config.nets.push_back(std::move(net));
  return {};
}

template <auto Member>
Result<void> apply_text(RunRequest& request, const std::string& value) {
  request.config.*Member = value;
  return {};
}

template <class Settings, Settings MachineConfig::* Part>
Result<void> apply_part(RunRequest& request, const std::string& text) {
  return set_options(request.config.*Part, text);
}

template <class T, T MachineConfig::* Member>
Result<void> apply_word(RunRequest& request, const std::string& value) {
  const auto& words = EnumWords<T>::words;
  const auto it = std::ranges::find(words, value);
  if (it == words.end()) {
    return fail("'{}' is not one of {}", value, fmt::join(words, ", "));
  }
  request.config.*Member = static_cast<T>(it - words.begin());
  return {};
}

// A device that is there once it is mentioned.
template <class Settings, Settings MachineConfig::* Part>
Result<void> apply_enabled(RunRequest& request, const std::string& text) {
  (request.config.*Part).enabled = true;
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(request.config.*Part, key.empty() ? "enabled" : key, value));
  }
  return {};
}

Result<void> apply_log_level(RunRequest& request, const std::string& value) {
  constexpr std::array<std::string_view, 5> kLevels{"debug", "info", "warning", "error", "off"};
  const auto it = std::ranges::find(kLevels, value);
  if (it == kLevels.end()) {
    return fail("'{}' is not one of {}", value, fmt::join(kLevels, ", "));
  }
  request.log_level = static_cast<LogLevel>(it - kLevels.begin());
  return {};
}

Result<void> apply_config(RunRequest&, const std::string&) { return {}; }  // taken before the others

const std::array kOptions{
    Option{"config", "FILE", "machine description in JSON (configs/machine.schema.json)", apply_config},
    Option{"name", "NAME", "name of the guest", apply_text<&MachineConfig::name>},
    Option{"machine", "microvm|pc", "kind of machine", apply_word<MachineKind, &MachineConfig::machine>},
    Option{"cpus", "N[,max=][,sockets=,dies=,cores=,threads=]", "vCPUs, how many there may be while it runs, their topology",
           apply_cpus},
    Option{"cpu", "MODEL[,+FEATURE,-FEATURE]", "CPU model and features", apply_cpu},
    Option{"memory", "MIB[,backing=,prealloc=]", "guest memory; suffixes M and G", apply_memory},
    Option{"firmware", "bios|uefi[,path=FILE,vars=FILE,serial=on,menu=on,...]", "start with a BIOS or UEFI (pc)",
           apply_firmware},
    Option{"kernel", "FILE", "bzImage, PVH ELF or Multiboot kernel",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.boot.kernel = v;
             return {};
           }},
    Option{"initrd", "FILE", "initial RAM disk",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.boot.initrd = v;
             return {};
           }},
    Option{"kernel-fd", "N", "inherited descriptor of the kernel",
           [](RunRequest& r, const std::string& v) -> Result<void> { return set_option(r.config.boot, "kernel_fd", v); }},
    Option{"initrd-fd", "N", "inherited descriptor of the initial RAM disk",
           [](RunRequest& r, const std::string& v) -> Result<void> { return set_option(r.config.boot, "initrd_fd", v); }},
    Option{"append", "TEXT", "kernel command line",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.boot.command_line = v;
             return {};
           }},
    Option{"module", "\"FILE ARGUMENTS\"", "Multiboot or PVH module; may be repeated",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.boot.modules.push_back(v);
             return {};
           }},
    Option{"disk", "path=FILE[,cache=,...]", "a disk; may be repeated", apply_disk},
    Option{"cdrom", "FILE|none[,boot=,...]", "a CD drive on the IDE bus (pc); may be repeated", apply_cdrom},
    Option{"floppy", "FILE|none[,boot=,...]", "a floppy drive (pc); may be repeated", apply_floppy},
    Option{"video", "vga|virtio|virtio-vga[,memory_mib=,width=,...]", "a screen; those with a VGA are for a pc",
           apply_video},
    Option{"usb", "xhci|piix3-uhci[,ports=,...]", "a USB controller", apply_usb},
    Option{"usb-device", "tablet|mouse|keyboard[,port=,id=]", "plugged into the USB controller; may be repeated",
           apply_usb_device},
    Option{"input", "tablet|mouse|keyboard[,slot=,id=]", "a virtio input device; may be repeated", apply_input},
    Option{"net", "tap=NAME|user|none[,mac=,...]", "a network interface; may be repeated", apply_net},
    Option{"serial", "stdio|pty|file=PATH|socket=PATH|none", "a serial port; may be repeated",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.serials.push_back(TRY(parse_char(v)));
             return {};
           }},
    Option{"parallel", "file=PATH|pty|socket=PATH|stdio|null", "a parallel port (pc); may be repeated",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.parallels.push_back(TRY(parse_char(v)));
             return {};
           }},
    Option{"console", "stdio|pty|file=PATH|socket=PATH", "virtio console",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.console = TRY(parse_char(v));
             return {};
           }},
    Option{"channel", "socket=PATH,name=NAME", "named virtio channel; may be repeated",
           [](RunRequest& r, const std::string& v) -> Result<void> {
             r.config.channels.push_back(TRY(parse_char(v)));
             return {};
           }},
    Option{"virtio-serial", "slot=N", "the device that carries console and channels",
           apply_part<VirtioSerialSettings, &MachineConfig::virtio_serial>},
    Option{"rng", "on[,bytes=,period_ms=]", "random number device", apply_enabled<RngSettings, &MachineConfig::rng>},
    Option{"balloon", "on[,deflate_on_oom=,...]", "memory balloon", apply_enabled<BalloonSettings, &MachineConfig::balloon>},
    Option{"watchdog", "model=i6300esb|ib700[,action=,...]", "acts when the guest does not feed it",
           apply_enabled<WatchdogSettings, &MachineConfig::watchdog>},
    Option{"vsock", "cid=N", "sockets between guest and host, at this address of the guest",
           apply_enabled<VsockSettings, &MachineConfig::vsock>},
    Option{"fs", "tag=NAME,socket=PATH[,queues=,...]", "a folder of the host, served by virtiofsd; may be repeated",
           apply_filesystem},
    Option{"smbios", "uuid=,manufacturer=,...", "SMBIOS system information",
           apply_part<SmbiosSettings, &MachineConfig::smbios>},
    Option{"clock", "offset_seconds=N[,lost_ticks=][,hpet=on]", "the battery-backed clock and the timers (pc)",
           apply_part<ClockSettings, &MachineConfig::clock>},
    Option{"debug-console", "", "print bytes written to port 0x402",
           [](RunRequest& r, const std::string&) -> Result<void> {
             r.config.debug_console = true;
             return {};
           }},
    Option{"debug-exit", "", "port 0xf4 ends the monitor",
           [](RunRequest& r, const std::string&) -> Result<void> {
             r.config.debug_exit = true;
             return {};
           }},
    Option{"panic", "", "pvpanic device: the guest tells of its crash",
           [](RunRequest& r, const std::string&) -> Result<void> {
             r.config.panic = true;
             return {};
           }},
    Option{"vmgenid", "UUID|auto", "generation ID: a guest that is a copy of another learns of it",
           apply_text<&MachineConfig::vmgenid>},
    Option{"vmcoreinfo", "", "the guest may say where its kernel's notes for a dump are",
           [](RunRequest& r, const std::string&) -> Result<void> {
             r.config.vmcoreinfo = true;
             return {};
           }},
    Option{"io-threads", "N", "I/O threads",
           [](RunRequest& r, const std::string& v) -> Result<void> { return set_option(r.config, "io_threads", v); }},
    Option{"on-poweroff", "destroy|restart|preserve", "when the guest switches itself off",
           apply_word<OnEvent, &MachineConfig::on_poweroff>},
    Option{"on-reboot", "destroy|restart|preserve", "when the guest resets itself",
           apply_word<OnEvent, &MachineConfig::on_reboot>},
    Option{"on-crash", "destroy|restart|preserve", "when the guest crashes", apply_word<OnEvent, &MachineConfig::on_crash>},
    Option{"control", "PATH", "control socket", apply_text<&MachineConfig::control>},
    Option{"control-fd", "N", "inherited listening control socket",
           [](RunRequest& r, const std::string& v) -> Result<void> { return set_option(r.config, "control_fd", v); }},
    Option{"restore", "FILE", "continue a saved guest", apply_text<&MachineConfig::restore>},
    Option{"restore-fd", "N", "inherited descriptor of the saved guest",
           [](RunRequest& r, const std::string& v) -> Result<void> { return set_option(r.config, "restore_fd", v); }},
    Option{"kvm-fd", "N", "inherited descriptor of /dev/kvm",
           [](RunRequest& r, const std::string& v) -> Result<void> { return set_option(r.config, "kvm_fd", v); }},
    Option{"end-file", "PATH", "file that gets one line of JSON when the guest ends", apply_text<&MachineConfig::end_file>},
    Option{"paused", "", "do not start the guest before 'cont'",
           [](RunRequest& r, const std::string&) -> Result<void> {
             r.config.start_paused = true;
             return {};
           }},
    Option{"seccomp", "on|off", "confine the threads (on)",
           [](RunRequest& r, const std::string& v) -> Result<void> { return set_option(r.config, "seccomp", v); }},
    Option{"log", "LEVEL", "debug, info, warning, error or off", apply_log_level},
    Option{"dry-run", "", "check the configuration, print it as JSON and leave",
           [](RunRequest& r, const std::string&) -> Result<void> {
             r.dry_run = true;
             return {};
           }},
};

struct Given {
  const Option* option;
  std::string value;
};

Result<std::vector<Given>> match_options(const std::vector<std::string>& arguments) {
  std::vector<Given> given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view word = arguments[i];
    if (!word.starts_with("--")) {
      return fail("'{}' is not an option; see lodge-vmm run --help", word);
    }
    word.remove_prefix(2);
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const auto* option = std::ranges::find(kOptions, name, &Option::name);
    if (option == kOptions.end()) {
      return fail("there is no option --{}; see lodge-vmm run --help", name);
    }
    if (equals != std::string_view::npos) {
      given.push_back({option, std::string(word.substr(equals + 1))});
    } else if (option->value.empty()) {
      given.push_back({option, ""});
    } else if (i + 1 < arguments.size()) {
      given.push_back({option, arguments[++i]});
    } else {
      return fail("--{} needs a value: {}", name, option->value);
    }
  }
  return given;
}

}  // namespace

Result<RunRequest> parse_run_arguments(const std::vector<std::string>& arguments, const MachineConfig* base) {
  RunRequest request;
  const auto given = TRY(match_options(arguments));
  if (base != nullptr) {
    request.config = *base;
    const auto replaces = [&given](std::string_view name) {
      return std::ranges::any_of(given, [name](const Given& one) { return one.option->name == name; });
    };
    const auto drop = [&replaces](std::string_view name, auto& list) {
      if (replaces(name)) {
        list.clear();
      }
    };
    if (replaces("disk") || replaces("cdrom") || replaces("floppy")) {
      request.config.disks.clear();
    }
    drop("net", request.config.nets);
    drop("usb-device", request.config.usb_devices);
    drop("input", request.config.inputs);
    drop("serial", request.config.serials);
    drop("parallel", request.config.parallels);
    drop("channel", request.config.channels);
  }
  for (const Given& one : given) {
    if (one.option->name == "config") {
      const std::string text = TRY_CONTEXT(read_file(one.value, 1U << 20), "cannot read configuration");
      TRY_VOID_CONTEXT(apply_json(request.config, text), one.value);
    }
  }
  for (const Given& one : given) {
    TRY_VOID_CONTEXT(one.option->apply(request, one.value), fmt::format("--{} {}", one.option->name, one.value));
  }
  return request;
}

std::string run_help() {
  std::string text = "usage: lodge-vmm run [OPTION...]\n\nRuns one guest until it switches itself off.\n\n";
  for (const Option& option : kOptions) {
    const std::string head = fmt::format("--{} {}", option.name, option.value);
    text += head.size() < 34 ? fmt::format("  {:<34}{}\n", head, option.help)
                             : fmt::format("  {}\n  {:<34}{}\n", head, "", option.help);
  }
  text += "\nKeys of --disk, --net and the others: configs/machine.schema.json (lodge-vmm schema prints it).\n";
  return text;
}

namespace {

Result<void> check_disk(const DiskSettings& disk, const MachineConfig& config) {
  const std::string& id = disk.id;
  if (disk.bus != "virtio" && disk.bus != "usb" && disk.bus != "ide" && disk.bus != "fdc") {
    return fail("disk '{}': bus '{}' is not offered; use bus=virtio, bus=usb, bus=ide or bus=fdc", id, disk.bus);
  }
  if ((disk.device == DiskDevice::floppy) != (disk.bus == "fdc")) {
    return fail("disk '{}': floppy drives, and only they, are on bus fdc", id);
  }
  if (disk.device == DiskDevice::cdrom && disk.bus != "ide") {
    return fail("disk '{}': a CD drive is on the IDE bus; use bus=ide", id);
  }
  if (disk.bus != "virtio" && disk.bus != "usb" && config.machine != MachineKind::pc) {
    return fail("disk '{}': only machine pc has bus {}; use --machine pc, or bus=virtio", id, disk.bus);
  }
  if (disk.device == DiskDevice::disk && disk.path.empty() && disk.fd < 0) {
    return fail("disk '{}' has neither a path nor a descriptor; use path=FILE", id);
  }
  return {};
}

}  // namespace

Result<void> check_net(const NetSettings& net) {
  const std::string& id = net.id;
  if (net.kind == NetKind::tap && net.tap.empty() && net.fds.empty()) {
    return fail("NIC '{}' has neither a tap's name nor descriptors; use tap=NAME", id);
  }
  if (net.vhost && net.kind != NetKind::tap) {
    return fail("NIC '{}': vhost needs a tap", id);
  }
  if (net.model != NetModel::virtio && (net.vhost || net.queues > 1 || net.fds.size() > 1)) {
    return fail("NIC '{}': vhost and several queues need model=virtio", id);
  }
  if (!net.fds.empty() && net.queues != 1 && net.queues != net.fds.size()) {
    return fail("NIC '{}' has {} queue pairs and {} tap descriptors; pass one for each pair", id, net.queues,
                net.fds.size());
  }
  if (!net.vhost_fds.empty() && net.vhost_fds.size() != std::max<size_t>(net.queues, net.fds.size())) {
    return fail("NIC '{}' has {} queue pairs and {} vhost descriptors; pass one for each pair", id,
                std::max<size_t>(net.queues, net.fds.size()), net.vhost_fds.size());
  }
  return {};
}

namespace {

// Firmware looks for an option ROM by what kind of card there is.
Result<void> check_roms(const std::vector<NetSettings>& nets) {
  std::map<NetModel, const NetSettings*> first;
  for (const NetSettings& net : nets) {
    if (net.boot == 0 || net.rom.empty()) {
      continue;
    }
    const NetSettings& other = *first.emplace(net.model, &net).first->second;
    if (other.rom != net.rom) {
      return fail("NICs '{}' and '{}' have two option ROMs, '{}' and '{}'; cards of one model can have one only", other.id,
                  net.id, other.rom, net.rom);
    }
  }
  return {};
}

Result<void> check_platform(const MachineConfig& config) {
  const bool pc = config.machine == MachineKind::pc;
  if (!pc && !config.parallels.empty()) {
    return fail("only machine pc has parallel ports; use --machine pc");
  }
  if (!pc && config.clock.hpet) {
    return fail("only machine pc has an HPET; use --machine pc, or leave hpet out");
  }
  if (!config.vmgenid.empty() && config.vmgenid != "auto" && !parse_guid(config.vmgenid)) {
    return fail("the generation ID '{}' is neither a UUID nor 'auto'", config.vmgenid);
  }
  constexpr uint32_t kFirstCid = 3;  // below are the hypervisor, loopback and the host
  if (config.vsock.enabled && config.vsock.cid < kFirstCid) {
    return fail("vsock: the guest needs an address of its own, from {}; use --vsock cid=N", kFirstCid);
  }
  const VirtioSettings& virtio = config.vsock.virtio;
  if (virtio.ring == RingLayout::packed || virtio.version == VirtioVersion::transitional ||
      virtio.version == VirtioVersion::legacy) {
    return fail("vsock: the kernel serves it, with split rings and virtio 1.0; leave ring and version out");
  }
  return {};
}

}  // namespace

Result<void> validate(const MachineConfig& config) {
  if (config.name.empty() || config.name.size() > 128 || config.name.find_first_of("/\n") != std::string::npos) {
    return fail("name '{}' must have 1 to 128 characters and neither '/' nor a line break", config.name);
  }
  MachineConfig completed = config;
  TRY_VOID(complete(completed));
  for (const DiskSettings& disk : completed.disks) {
    TRY_VOID(check_disk(disk, config));
  }
  if (is_vga(config.video) && config.machine != MachineKind::pc) {
    return fail("only machine pc has a VGA; use --machine pc, or --video virtio");
  }
  if (config.firmware.kind != FirmwareKind::none && config.machine != MachineKind::pc) {
    return fail("firmware is for machine pc only; use --machine pc");
  }
  if (config.firmware.kind != FirmwareKind::uefi && (!config.firmware.vars.empty() || config.firmware.vars_fd >= 0)) {
    return fail("only UEFI has a file of variables; use --firmware uefi,vars=FILE, or leave vars out");
  }
  for (const NetSettings& net : completed.nets) {
    TRY_VOID(check_net(net));
  }
  TRY_VOID(check_roms(completed.nets));
  TRY_VOID(check_platform(config));
  if (!config.memory.cells.empty()) {
    uint64_t sum = 0;
    for (const NumaCell& cell : config.memory.cells) {
      sum += cell.memory_mib;
    }
    if (sum != config.memory.size_mib) {
      return fail("the NUMA cells have {} MiB together, the guest has {} MiB; make them equal", sum, config.memory.size_mib);
    }
  }
  size_t on_stdio = config.console.kind == CharKind::stdio ? 1 : 0;
  for (const auto* list : {&config.serials, &config.parallels, &config.channels}) {
    for (const CharSettings& one : *list) {
      on_stdio += one.kind == CharKind::stdio ? 1 : 0;
    }
  }
  if (on_stdio > 1) {
    return fail("standard input and output can serve one serial or parallel port, console or channel, not {}", on_stdio);
  }
  for (const CharSettings& channel : config.channels) {
    if (channel.name.empty()) {
      return fail("a channel has no name; use name=NAME");
    }
  }
  return {};
}

}  // namespace lodge
