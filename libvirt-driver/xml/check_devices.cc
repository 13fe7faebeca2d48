#include "libvirt-driver/xml/check_devices.h"

#include <algorithm>
#include <map>
#include <set>
#include <type_traits>

#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/each_device.h"

namespace lodge {
namespace {

Answer<void> check_rate(const DiskLimits::Rate& rate, const DomainDisk& disk, std::string_view what) {
  if (rate.total.value_or(0) != 0 && (rate.read.value_or(0) != 0 || rate.write.value_or(0) != 0)) {
    return call_error(VIR_ERR_XML_ERROR, "disk {}: total and read/write of {} cannot be set at the same time", disk.target,
                      what);
  }
  return {};
}

Answer<void> check_disk_source(const DomainDisk& disk) {
  const bool removable = disk.device == DiskDevice::cdrom || disk.device == DiskDevice::floppy;
  if (disk.source.type == DiskType::volume) {
    if (disk.source.pool.empty() || disk.source.volume.empty()) {
      return call_error(VIR_ERR_XML_ERROR, "disk {}: a source of type 'volume' needs both 'pool' and 'volume'", disk.target);
    }
  } else if (disk.source.path.empty() && !removable) {
    return call_error(VIR_ERR_NO_SOURCE, "missing source information for device {}", disk.target);
  }
  if (!disk.source.path.empty() && disk.source.path.front() != '/') {
    return call_error(VIR_ERR_XML_ERROR, "disk {}: path '{}' must be absolute", disk.target, disk.source.path);
  }
  return {};
}

// Drives of a pc's own controllers.
Answer<void> check_drive(const DomainDisk& disk) {
  if (disk.readonly && disk.device == DiskDevice::disk) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "disk {}: readonly ide disks are not supported", disk.target);
  }
  if (disk.model != DiskModel::absent) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "disk model '{}' not supported for bus '{}'", xml_word(disk.model),
                      xml_word(disk.bus));
  }
  if (disk.driver.queues || disk.driver.queue_size) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "disk {}: attributes 'queues' and 'queue_size' of <driver> are for virtio disks only", disk.target);
  }
  return {};
}

Answer<void> check_disk(const DomainConfig& config, const DomainDisk& disk) {
  if (!disk_index(disk.target)) {
    return call_error(VIR_ERR_XML_ERROR, "Invalid disk target '{}': it must be a name such as vda, hdc, sdb, fda",
                      disk.target);
  }
  TRY_VOID(check_disk_source(disk));
  const bool floppy = disk.device == DiskDevice::floppy;
  if (floppy != (disk.bus == DiskBus::fdc)) {
    return call_error(VIR_ERR_XML_ERROR, "Invalid bus type '{}' for {}", xml_word(disk.bus),
                      floppy ? "floppy disk" : xml_word(disk.device));
  }
  if (disk.device == DiskDevice::cdrom && disk.bus == DiskBus::virtio) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "disk type of '{}' does not support ejectable media", disk.target);
  }
  if (disk.driver.name != "qemu" && !disk.driver.name.empty()) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "unsupported driver name '{}' for disk '{}'", disk.driver.name,
                      disk.target);
  }
  if (disk.driver.iothread && !has_iothread(config, *disk.driver.iothread)) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "Disk iothread '{}' not defined in iothreadid", *disk.driver.iothread);
  }
  if (disk.driver.iothread && disk.bus != DiskBus::virtio) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "IOThreads not available for bus {} target {}", xml_word(disk.bus),
                      disk.target);
  }
  if (disk.bus == DiskBus::ide || disk.bus == DiskBus::fdc) {
    TRY_VOID(check_drive(disk));
  }
  TRY_VOID(check_rate(disk.limits.bytes, disk, "bytes_sec"));
  TRY_VOID(check_rate(disk.limits.iops, disk, "iops_sec"));
  TRY_VOID(check_rate(disk.limits.bytes_max, disk, "bytes_sec_max"));
  return check_rate(disk.limits.iops_max, disk, "iops_sec_max");
}

Answer<void> check_disks(const DomainConfig& config) {
  std::map<std::string_view, const DomainDisk*> targets;
  for (const DomainDisk& disk : config.devices.disks) {
    TRY_VOID(check_disk(config, disk));
    const auto [other, is_new] = targets.emplace(disk.target, &disk);
    if (!is_new) {
      return call_error(VIR_ERR_XML_ERROR, "target '{}' duplicated for disk sources '{}' and '{}'", disk.target,
                        other->second->source.path, disk.source.path);
    }
  }
  return {};
}

Answer<void> check_interface(const DomainInterface& interface) {
  const InterfaceSource& source = interface.source;
  const auto missing = [&](std::string_view attribute) {
    return call_error(VIR_ERR_XML_ERROR, "No <source> '{}' attribute specified with <interface type='{}'/>", attribute,
                      xml_word(interface.type));
  };
  switch (interface.type) {
    case InterfaceType::network:
      if (source.network.empty()) {
        return missing("network");
      }
      break;
    case InterfaceType::bridge:
      if (source.bridge.empty()) {
        return missing("bridge");
      }
      break;
    case InterfaceType::direct:
      if (source.dev.empty()) {
        return missing("dev");
      }
      break;
    case InterfaceType::user:
    case InterfaceType::ethernet: break;
  }
  constexpr size_t kMostName = 15;  // IFNAMSIZ
  if (interface.target.size() > kMostName || interface.target.find('/') != std::string::npos) {
    return call_error(VIR_ERR_XML_ERROR,
                      "interface {}: target '{}' is no name of a network device: at most {} bytes, no '/'",
                      to_xml(interface.mac), interface.target, kMostName);
  }
  if (interface.model.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
      std::string::npos) {
    return call_error(VIR_ERR_XML_ERROR, "Model name contains invalid characters: '{}'", interface.model);
  }
  const bool tuned = interface.rom_bar != OnOff::absent || !interface.rom_file.empty();
  if (interface.rom_enabled == YesNo::no && tuned) {
    return call_error(VIR_ERR_XML_ERROR, "ROM tuning is not supported when ROM is disabled");
  }
  if (!interface.rom_file.empty() && interface.rom_file.front() != '/') {
    return call_error(VIR_ERR_XML_ERROR, "/domain/devices/interface/rom/@file: '{}' must be absolute", interface.rom_file);
  }
  if (!interface.port_forwards.empty() && interface.type != InterfaceType::user) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "The <portForward> element can only be used with <interface type='user'>");
  }
  return {};
}

Answer<void> check_source(const CharSource& source, bool path_is_chosen) {
  const auto missing = [](std::string_view attribute) {
    return call_error(VIR_ERR_XML_ERROR, "Missing source {} attribute for char device", attribute);
  };
  switch (source.type) {
    case CharType::file:
    case CharType::dev:
      if (source.path.empty()) {
        return missing("path");
      }
      break;
    case CharType::unix_socket: {
      constexpr size_t kMostPath = 107;  // sun_path with its end
      if (source.path.empty() && !path_is_chosen) {
        return missing("path");
      }
      if (source.path.size() > kMostPath) {
        return call_error(VIR_ERR_XML_ERROR, "UNIX socket path '{}' too long: at most {} bytes", source.path, kMostPath);
      }
      break;
    }
    case CharType::tcp:
      if (source.host.empty() && source.mode != SocketMode::bind) {
        return missing("host");
      }
      if (source.service.empty()) {
        return missing("service");
      }
      break;
    case CharType::pty:
    case CharType::null: break;
  }
  if (source.reconnect == YesNo::yes && source.mode == SocketMode::bind) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "chardev reconnect is possible only for connect mode");
  }
  return {};
}

Answer<void> check_chars(const DomainDevices& devices) {
  std::set<uint32_t> ports;
  for (const DomainSerial& serial : devices.serials) {
    TRY_VOID(check_source(serial.source, false));
    if (serial.port && !ports.insert(*serial.port).second) {
      return call_error(VIR_ERR_XML_ERROR, "target port '{}' of serial devices is given twice", *serial.port);
    }
  }
  ports.clear();
  for (const DomainParallel& parallel : devices.parallels) {
    TRY_VOID(check_source(parallel.source, false));
    if (parallel.port && !ports.insert(*parallel.port).second) {
      return call_error(VIR_ERR_XML_ERROR, "target port '{}' of parallel devices is given twice", *parallel.port);
    }
  }
  for (size_t i = 0; i < devices.consoles.size(); ++i) {
    TRY_VOID(check_source(devices.consoles[i].source, false));
    if (i != 0 && devices.consoles[i].target == ConsoleTarget::serial) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "Only the first console can be a serial port");
    }
  }
  std::set<std::string_view> names;
  for (const DomainChannel& channel : devices.channels) {
    TRY_VOID(check_source(channel.source, true));
    if (channel.name.find('/') != std::string::npos) {
      return call_error(VIR_ERR_XML_ERROR, "channel name '{}' cannot contain '/'", channel.name);
    }
    if (!channel.name.empty() && !names.insert(channel.name).second) {
      return call_error(VIR_ERR_XML_ERROR, "channel name '{}' is given twice", channel.name);
    }
  }
  for (const DomainRng& rng : devices.rngs) {
    if (rng.backend == RngBackend::egd) {
      TRY_VOID(check_source(rng.source, false));
    }
  }
  return {};
}

Answer<void> check_controllers(const DomainDevices& devices) {
  constexpr uint32_t kMostIndex = 255;
  std::set<std::pair<ControllerType, uint32_t>> seen;
  for (const DomainController& controller : devices.controllers) {
    const uint32_t index = controller.index.value_or(0);
    if (controller.type == ControllerType::ide && index != 0) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "Only a single IDE controller is supported for this machine type");
    }
    if (controller.type == ControllerType::fdc && index != 0) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "Only 1 fdc controller is supported");
    }
    if (index > kMostIndex) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "controller {}: index {} is beyond the last, {}",
                        xml_word(controller.type), index, kMostIndex);
    }
    if (controller.index && !seen.emplace(controller.type, index).second) {
      return call_error(VIR_ERR_XML_ERROR, "Multiple '{}' controllers with index '{}'", xml_word(controller.type), index);
    }
  }
  return {};
}

Answer<void> check_boot(const DomainConfig& config) {
  std::set<uint32_t> orders;
  Answer<void> result;
  each_device(config.devices, [&](const auto& device) {
    if constexpr (std::is_base_of_v<DeviceInfo, std::remove_cvref_t<decltype(device)>>) {
      if (result && device.boot_order && !orders.insert(*device.boot_order).second) {
        result = call_error(VIR_ERR_XML_ERROR, "boot order '{}' used for more than one device", *device.boot_order);
      }
    }
  });
  TRY_VOID(result);
  if (!orders.empty() && !config.os.boot.empty()) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "per-device boot elements cannot be used together with os/boot elements");
  }
  return {};
}

Answer<void> check_aliases(const DomainDevices& devices) {
  std::set<std::string_view> seen;
  Answer<void> result;
  each_device(devices, [&](const auto& device) {
    using T = std::remove_cvref_t<decltype(device)>;
    if constexpr (std::is_base_of_v<DeviceInfo, T>) {
      if (!result || device.alias.empty()) {
        return;
      }
      if (device.alias.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
          std::string::npos) {
        result = call_error(VIR_ERR_XML_ERROR, "alias '{}' may hold letters, digits, '-', '_' and '.' only", device.alias);
        return;
      }
      // The console that shows a serial port has the port's alias.
      const bool twin =
          std::is_same_v<T, DomainConsole> && !devices.serials.empty() && devices.serials.front().alias == device.alias;
      if (!twin && !seen.insert(device.alias).second) {
        result = call_error(VIR_ERR_XML_ERROR, "non unique alias detected: {}", device.alias);
      }
    }
  });
  return result;
}

Answer<void> check_filesystem(const DomainFilesystem& filesystem) {
  constexpr size_t kMaxTag = 36;  // bytes, of the virtio device
  if (filesystem.tag.empty()) {
    return call_error(VIR_ERR_XML_ERROR, "missing mount target information for a filesystem device");
  }
  if (filesystem.tag.size() > kMaxTag) {
    return call_error(VIR_ERR_XML_ERROR, "/domain/devices/filesystem/target/@dir: '{}' is longer than {} bytes",
                      filesystem.tag, kMaxTag);
  }
  if (filesystem.folder.empty() == filesystem.socket.empty()) {
    return call_error(VIR_ERR_XML_ERROR, "filesystem '{}': its source is either a 'dir' or a 'socket'", filesystem.tag);
  }
  for (const std::string* const path : {&filesystem.folder, &filesystem.socket, &filesystem.binary.path}) {
    if (!path->empty() && path->front() != '/') {
      return call_error(VIR_ERR_XML_ERROR, "filesystem '{}': path '{}' must be absolute", filesystem.tag, *path);
    }
  }
  if (!filesystem.socket.empty() &&
      (filesystem.binary != DomainFilesystem::Binary{} || filesystem.access != FilesystemAccess::absent)) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "filesystem '{}': whoever started the daemon behind the socket has chosen binary and accessmode",
                      filesystem.tag);
  }
  return {};
}

Answer<void> check_filesystems(const DomainDevices& devices) {
  std::set<std::string_view> tags;
  for (const DomainFilesystem& filesystem : devices.filesystems) {
    TRY_VOID(check_filesystem(filesystem));
    if (!tags.insert(filesystem.tag).second) {
      return call_error(VIR_ERR_XML_ERROR, "filesystem target '{}' specified twice", filesystem.tag);
    }
  }
  return {};
}

}  // namespace

Answer<void> check_devices(const DomainConfig& config) {
  const DomainDevices& devices = config.devices;
  TRY_VOID(check_disks(config));
  TRY_VOID(check_controllers(devices));
  for (const DomainInterface& interface : devices.interfaces) {
    TRY_VOID(check_interface(interface));
  }
  TRY_VOID(check_chars(devices));
  TRY_VOID(check_filesystems(devices));
  for (const DomainGraphics& graphics : devices.graphics) {
    constexpr size_t kVncPassword = 8;
    if (graphics.type == GraphicsType::vnc && graphics.password.size() > kVncPassword) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "VNC password is {} characters long, only {} permitted",
                        graphics.password.size(), kVncPassword);
    }
    if (!graphics.password_valid_to.empty() && !parse_utc(graphics.password_valid_to)) {
      return call_error(VIR_ERR_XML_ERROR, "cannot parse password validity time '{}', expect YYYY-MM-DDTHH:MM:SS",
                        graphics.password_valid_to);
    }
    for (const GraphicsListen& listen : graphics.listens) {
      if (!listen.socket.empty() && listen.socket.front() != '/') {
        return call_error(VIR_ERR_XML_ERROR, "/domain/devices/graphics/listen/@socket: '{}' must be absolute",
                          listen.socket);
      }
    }
  }
  if (devices.vsocks.size() > 1) {
    return call_error(VIR_ERR_XML_ERROR, "only a single vsock device is supported");
  }
  for (const DomainVsock& vsock : devices.vsocks) {
    constexpr uint32_t kFirstCid = 3;
    if (vsock.cid && (*vsock.cid < kFirstCid || *vsock.cid == UINT32_MAX)) {
      return call_error(VIR_ERR_XML_ERROR, "guest CIDs must be >= {}, and not {}", kFirstCid, UINT32_MAX);
    }
    if (!vsock.cid && vsock.auto_cid == YesNo::no) {
      return call_error(VIR_ERR_XML_ERROR, "/domain/devices/vsock/cid: auto='no' needs an address");
    }
  }
  if (devices.watchdogs.size() > 1) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "only a single watchdog device is supported");
  }
  const bool no_video =
      std::ranges::any_of(devices.videos, [](const DomainVideo& video) { return video.model == VideoModel::none; });
  if (no_video && devices.videos.size() > 1) {
    return call_error(VIR_ERR_XML_ERROR, "a 'none' video type must be the only video device defined for the domain");
  }
  TRY_VOID(check_boot(config));
  return check_aliases(devices);
}

}  // namespace lodge
