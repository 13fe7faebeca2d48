// complete(): what libvirt fills in when a domain is defined.
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "libvirt-driver/xml/addresses.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/uuid.h"

namespace lodge {
namespace {

class Random {
 public:
  explicit Random(const Defaults& host) : host_(host) {}

  Answer<void> fill(std::span<uint8_t> bytes) const {
    if (host_.random) {
      host_.random(bytes);
      return {};
    }
    // Up to 256 bytes come whole or not at all.
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      const int code = errno;
      return std::unexpected(CallError(fail_errno(code, "getrandom").error()));
    }
    return {};
  }

 private:
  const Defaults& host_;
};

template <class T>
void fill(T& member, T value) {
  if (member == T{}) {
    member = std::move(value);
  }
}
void fill(std::string& member, const std::string& value) {
  if (member.empty()) {
    member = value;
  }
}

void complete_memory(DomainConfig& config) {
  uint64_t cells = 0;
  if (config.cpu) {
    uint32_t next = 0;
    for (GuestNumaCell& cell : config.cpu->numa) {
      cell.id = cell.id ? cell.id : std::optional(next);
      ++next;
      if (__builtin_add_overflow(cells, cell.memory.value_or(0), &cells)) {
        cells = 0;
        break;
      }
    }
  }
  if (cells != 0) {
    config.memory = cells;  // the cells are what there is
  }
  if (config.current_memory == 0 || config.current_memory > config.memory) {
    config.current_memory = config.memory;
  }
}

void complete_cpu(CpuConfig& cpu) {
  if (cpu.mode == CpuMode::absent && !cpu.model.empty()) {
    cpu.mode = CpuMode::custom;
  }
  switch (cpu.mode) {
    case CpuMode::custom:
      if (!cpu.model.empty()) {
        fill(cpu.match, CpuMatch::exact);
        fill(cpu.check, CpuCheck::partial);
        fill(cpu.fallback, CpuFallback::allow);
      }
      break;
    case CpuMode::host_model: fill(cpu.check, CpuCheck::partial); break;
    case CpuMode::host_passthrough:
    case CpuMode::maximum:
      fill(cpu.check, CpuCheck::none);
      fill(cpu.migratable, OnOff::on);
      break;
    case CpuMode::absent: break;
  }
  for (CpuFeature& feature : cpu.features) {
    fill(feature.policy, CpuPolicy::require);
  }
}

bool has_boot_order(const DomainDevices& devices) {
  const auto given = [](const DeviceInfo& info) { return info.boot_order.has_value(); };
  return std::ranges::any_of(devices.disks, given) || std::ranges::any_of(devices.interfaces, given);
}

void complete_system(DomainConfig& config, const Defaults& host) {
  fill(config.os.arch, std::string("x86_64"));
  fill(config.os.machine, host.machine);
  if (host.canonical_machine) {
    config.os.machine = host.canonical_machine(config.os.machine);
  }
  if (config.os.boot.empty() && !has_boot_order(config.devices)) {
    config.os.boot.push_back(BootDev::hd);
  }
  if (config.vcpus.count == 0) {
    config.vcpus.count = 1;
  }
  if (config.vcpus.current == config.vcpus.count) {
    config.vcpus.current.reset();
  }
  fill(config.vcpus.placement, Placement::fixed);
  if (!config.iothread_ids.empty() && !config.iothreads) {
    config.iothreads = static_cast<uint32_t>(config.iothread_ids.size());
  }
  if (config.cpu) {
    complete_cpu(*config.cpu);
  }
  fill(config.on_poweroff, LifecycleAction::destroy);
  fill(config.on_reboot, LifecycleAction::restart);
  fill(config.on_crash, CrashAction::destroy);
}

Answer<void> complete_disk(DomainDisk& disk, const Defaults& host) {
  if (disk.target.empty()) {
    return call_error(VIR_ERR_XML_ERROR, "a disk has no <target dev=>; it names the disk, such as vda");
  }
  if (disk.bus == DiskBus::absent) {
    const std::string& name = disk.target;
    disk.bus = disk.device == DiskDevice::floppy || name.starts_with("fd") ? DiskBus::fdc
               : name.starts_with("vd")                                    ? DiskBus::virtio
               : name.starts_with("sd")                                    ? DiskBus::scsi
                                                                           : DiskBus::ide;
  }
  if (disk.device == DiskDevice::cdrom) {
    disk.readonly = true;
  }
  if (disk.tray == Tray::closed) {
    disk.tray = Tray::absent;  // as it is told
  }
  fill(disk.driver.name, "qemu");
  if (disk.driver.format.empty() && disk.has_medium() && host.format_of) {
    disk.driver.format = host.format_of(disk);
  } else if (disk.driver.format.empty() && !disk.has_medium()) {
    disk.driver.format = "raw";
  }
  return {};
}

// A serial port and the console that shows it are two elements for one thing: each makes the other.
void complete_consoles(DomainDevices& devices) {
  if (devices.consoles.empty() && !devices.serials.empty()) {
    devices.consoles.push_back({});
    devices.consoles.front().target = ConsoleTarget::serial;
  }
  for (DomainConsole& console : devices.consoles) {
    fill(console.target, ConsoleTarget::serial);
  }
  if (!devices.consoles.empty() && devices.consoles.front().target == ConsoleTarget::serial) {
    DomainConsole& console = devices.consoles.front();
    if (devices.serials.empty()) {
      DomainSerial& serial = devices.serials.emplace_back();
      serial.source = console.source;
      serial.alias = console.alias;
      serial.port = console.port;
    }
  }
  std::set<uint32_t> ports;
  for (const DomainSerial& serial : devices.serials) {
    ports.insert(serial.port.value_or(0));
  }
  uint32_t next = 0;
  bool zero_given = std::ranges::any_of(devices.serials, [](const DomainSerial& serial) { return serial.port == 0U; });
  for (DomainSerial& serial : devices.serials) {
    fill(serial.target, SerialTarget::isa);
    fill(serial.model, std::string(xml_word(serial.target)));
    if (!serial.port) {
      while (next != 0 ? ports.contains(next) : zero_given) {
        ++next;
      }
      serial.port = next;
      ports.insert(next++);
    }
  }
  if (!devices.consoles.empty() && devices.consoles.front().target == ConsoleTarget::serial) {
    DomainConsole& console = devices.consoles.front();
    const DomainSerial& serial = devices.serials.front();
    console.source = serial.source;
    console.alias = serial.alias;
    console.port = serial.port;
  }
  uint32_t number = 0;
  for (DomainConsole& console : devices.consoles) {
    console.port = console.port ? console.port : std::optional(number);
    ++number;
  }
}

// Ports that have no number: the next that is free.
void complete_parallels(DomainDevices& devices) {
  std::set<uint32_t> taken;
  for (const DomainParallel& parallel : devices.parallels) {
    if (parallel.port) {
      taken.insert(*parallel.port);
    }
  }
  uint32_t next = 0;
  for (DomainParallel& parallel : devices.parallels) {
    while (!parallel.port) {
      if (taken.insert(next).second) {
        parallel.port = next;
      }
      ++next;
    }
  }
}

void complete_vsock(DomainVsock& vsock) {
  fill(vsock.model, VsockModel::virtio);
  fill(vsock.auto_cid, vsock.cid ? YesNo::no : YesNo::yes);
}

void complete_filesystem(DomainFilesystem& filesystem) {
  fill(filesystem.type, FilesystemType::mount);
  if (filesystem.driver == FilesystemDriver::virtiofs && filesystem.socket.empty()) {
    fill(filesystem.access, FilesystemAccess::passthrough);
  }
}

void complete_video(DomainVideo& video, const Defaults& host) {
  constexpr uint32_t kVgaKib = 16384;
  constexpr uint32_t kQxlKib = 65536;
  fill(video.model, host.video);
  switch (video.model) {
    case VideoModel::vga:
    case VideoModel::cirrus:
    case VideoModel::vmvga:
    case VideoModel::bochs: video.vram_kib = video.vram_kib.value_or(kVgaKib); break;
    case VideoModel::qxl:
      video.ram_kib = video.ram_kib.value_or(kQxlKib);
      video.vram_kib = video.vram_kib.value_or(kQxlKib);
      video.vgamem_kib = video.vgamem_kib.value_or(kVgaKib);
      break;
    default: break;
  }
  if (video.model != VideoModel::none) {
    video.heads = video.heads.value_or(1);
  }
}

void complete_displays(DomainDevices& devices, const Defaults& host) {
  const bool remote = std::ranges::any_of(
      devices.graphics, [](const DomainGraphics& graphics) { return graphics.type != GraphicsType::egl_headless; });
  if (!devices.graphics.empty() && devices.videos.empty()) {
    devices.videos.emplace_back();
  }
  if (remote && devices.audios.empty()) {
    devices.audios.push_back({.id = 1});
  }
  for (DomainVideo& video : devices.videos) {
    complete_video(video, host);
  }
  const bool has_primary =
      std::ranges::any_of(devices.videos, [](const DomainVideo& video) { return video.primary == YesNo::yes; });
  if (!devices.videos.empty() && !has_primary && devices.videos.front().model != VideoModel::none) {
    devices.videos.front().primary = YesNo::yes;
  }
  for (DomainInput& input : devices.inputs) {
    fill(input.bus, input.type == InputType::tablet ? InputBus::usb : InputBus::ps2);
  }
  for (const InputType type : {InputType::mouse, InputType::keyboard}) {
    const bool there = std::ranges::any_of(
        devices.inputs, [type](const DomainInput& input) { return input.type == type && input.bus == InputBus::ps2; });
    if (!devices.graphics.empty() && !there) {
      DomainInput& input = devices.inputs.emplace_back();
      input.type = type;
      input.bus = InputBus::ps2;
    }
  }
}

// Indices of controllers that have none: the next that is free for their type.
void number_controllers(DomainDevices& devices) {
  std::set<std::pair<ControllerType, uint32_t>> taken;
  for (const DomainController& controller : devices.controllers) {
    if (controller.index) {
      taken.emplace(controller.type, *controller.index);
    }
  }
  for (DomainController& controller : devices.controllers) {
    uint32_t next = 0;
    while (!controller.index) {
      if (taken.emplace(controller.type, next).second) {
        controller.index = next;
      }
      ++next;
    }
  }
}

bool wants_usb(const DomainDevices& devices) {
  return std::ranges::any_of(devices.disks, [](const DomainDisk& disk) { return disk.bus == DiskBus::usb; }) ||
         std::ranges::any_of(devices.inputs, [](const DomainInput& input) { return input.bus == InputBus::usb; }) ||
         std::ranges::any_of(devices.serials, [](const DomainSerial& serial) { return serial.target == SerialTarget::usb; });
}

Answer<void> complete_controllers(DomainConfig& config, const Defaults& host) {
  DomainDevices& devices = config.devices;
  if (std::ranges::none_of(devices.controllers, [](const DomainController& controller) {
        return controller.type == ControllerType::pci && (controller.index == 0U || controller.model.ends_with("-root"));
      })) {
    DomainController& root = devices.controllers.emplace_back();
    root.type = ControllerType::pci;
    root.index = 0;
  }
  number_controllers(devices);
  const bool usb_off = std::ranges::any_of(devices.controllers, [](const DomainController& controller) {
    return controller.type == ControllerType::usb && controller.model == "none";
  });
  if (usb_off && wants_usb(devices)) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "USB is disabled for this domain, but USB devices are present in the domain XML");
  }
  if (wants_usb(devices) && std::ranges::none_of(devices.controllers, [](const DomainController& controller) {
        return controller.type == ControllerType::usb;
      })) {
    want_controller(config, ControllerType::usb, 0);
  }
  TRY_VOID(assign_drive_addresses(config));
  TRY_VOID(assign_serial_ports(config));
  for (DomainController& controller : devices.controllers) {
    if (controller.type == ControllerType::pci && controller.index == 0U) {
      fill(controller.model, host.pci_root);
    } else if (controller.type == ControllerType::usb) {
      fill(controller.model, host.usb_model);
    } else if (controller.type == ControllerType::scsi) {
      fill(controller.model, host.scsi_model);
    }
  }
  return assign_usb_ports(config);
}

Answer<void> complete_interfaces(DomainDevices& devices, const Defaults& host, const Random& random) {
  std::set<std::array<uint8_t, 6>> taken;
  for (const DomainInterface& interface : devices.interfaces) {
    taken.insert(interface.mac.bytes);
  }
  for (DomainInterface& interface : devices.interfaces) {
    fill(interface.model, host.interface_model);
    constexpr int kTries = 16;
    for (int i = 0; interface.mac == MacAddress{} && i < kTries; ++i) {
      std::array<uint8_t, 6> mac{0x52, 0x54, 0x00};  // the prefix of KVM guests
      TRY_VOID(random.fill(std::span(mac).subspan(3)));
      if (taken.insert(mac).second || i + 1 == kTries) {
        interface.mac.bytes = mac;
      }
    }
  }
  return {};
}

// What the guest's SMBIOS says is the domain's, which a domain without one of its own takes from there; check() compares.
void complete_system_uuid(DomainConfig& config) {
  if (!config.sysinfo) {
    return;
  }
  for (NameValue& entry : config.sysinfo->system) {
    const auto uuid = entry.name == "uuid" ? parse_uuid(entry.value) : std::nullopt;
    if (uuid) {
      config.uuid = config.uuid == Uuid{} ? *uuid : config.uuid;
      entry.value = print_uuid(*uuid);
    }
  }
}

}  // namespace

std::optional<uint32_t> disk_index(std::string_view target) {
  for (const std::string_view prefix : {"fd", "hd", "vd", "sd", "xvd", "ubd"}) {
    if (target.starts_with(prefix)) {
      const std::string_view letters = target.substr(prefix.size());
      constexpr size_t kMostLetters = 3;
      if (letters.empty() || letters.size() > kMostLetters) {
        return std::nullopt;
      }
      uint32_t index = 0;
      for (const char c : letters) {
        if (c < 'a' || c > 'z') {
          return std::nullopt;
        }
        index = index * 26 + static_cast<uint32_t>(c - 'a') + 1;
      }
      return index - 1;
    }
  }
  return std::nullopt;
}

Answer<void> complete(DomainConfig& config, const Defaults& host) {
  const Random random(host);
  complete_system_uuid(config);
  if (config.uuid == Uuid{}) {
    Uuid bytes{};
    TRY_VOID(random.fill(bytes));
    config.uuid = random_uuid(bytes);
  }
  if (config.genid == Uuid{}) {
    Uuid bytes{};
    TRY_VOID(random.fill(bytes));
    config.genid = random_uuid(bytes);
  }
  complete_memory(config);
  complete_system(config, host);
  DomainDevices& devices = config.devices;
  fill(devices.emulator, host.emulator);
  for (DomainDisk& disk : devices.disks) {
    TRY_VOID(complete_disk(disk, host));
  }
  TRY_VOID(complete_interfaces(devices, host, random));
  complete_consoles(devices);
  complete_parallels(devices);
  std::ranges::for_each(devices.vsocks, complete_vsock);
  std::ranges::for_each(devices.filesystems, complete_filesystem);
  complete_displays(devices, host);
  if (!devices.memballoon) {
    devices.memballoon.emplace();
  }
  for (DomainPanic& panic : devices.panics) {
    fill(panic.model, PanicModel::isa);
  }
  TRY_VOID(complete_controllers(config, host));
  return assign_pci_addresses(config);
}

}  // namespace lodge
