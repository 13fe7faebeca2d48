#include "libvirt-driver/domains/device_json.h"

#include <algorithm>
#include <bit>

#include "libvirt-driver/domains/boot_json.h"
#include "libvirt-driver/domains/card_json.h"
#include "libvirt-driver/domains/input_json.h"
#include "libvirt-driver/domains/usb_json.h"
#include "libvirt-driver/host/offered.h"
#include "libvirt-driver/xml/addresses.h"
#include "libvirt-driver/xml/describe.h"
#include "libvirt-driver/xml/each_device.h"

namespace lodge {
namespace {

// The words of the monitor are libvirt's.
template <XmlEnum E>
void set_word(Json& json, const char* key, E value) {
  if (const auto word = xml_word(value); !word.empty()) {
    json[key] = word;
  }
}

template <class T>
void set_if(Json& json, const char* key, const std::optional<T>& value) {
  if (value) {
    json[key] = *value;
  }
}

void add_virtio(Json& json, const VirtioOptions& options, OnOff event_idx) {
  if (options.packed == OnOff::on) {
    json["ring"] = "packed";
  }
  if (event_idx == OnOff::off) {
    json["event_index"] = false;
  }
}

void add_virtio_disk(Json& json, const DomainDisk& disk) {
  set_if(json, "queues", disk.driver.queues);
  set_if(json, "queue_size", disk.driver.queue_size);
  add_virtio(json, disk.driver.virtio, disk.driver.event_idx);
  switch (disk.model) {
    case DiskModel::transitional: json["version"] = "transitional"; break;
    case DiskModel::non_transitional: json["version"] = "modern"; break;
    default: break;
  }
  add_slot(json, disk);
}

void add_ide_drive(Json& json, const DomainDisk& disk) {
  json["bus"] = "ide";
  json["device"] = xml_word(disk.device);
  if (const auto* at = disk.address ? std::get_if<DriveAddress>(&*disk.address) : nullptr) {
    json["channel"] = at->bus + 1;
    json["unit"] = at->unit + 1;
  }
}

void add_floppy_drive(Json& json, const DomainDisk& disk) {
  json["bus"] = "fdc";
  json["device"] = "floppy";
  if (const auto* at = disk.address ? std::get_if<DriveAddress>(&*disk.address) : nullptr) {
    json["unit"] = at->unit + 1;
  }
}

Answer<void> refuse_controllers(const DomainConfig& config) {
  for (const DomainController& controller : config.devices.controllers) {
    const std::string path = fmt::format("/domain/devices/controller[@type='{}']", xml_word(controller.type));
    switch (controller.type) {
      case ControllerType::scsi:
      case ControllerType::sata:
        return unsupported(path, fmt::format("this version of Lodge has no controllers of type '{}'; use disks with "
                                             "<target bus='virtio'/> or 'ide'",
                                             xml_word(controller.type)));
      case ControllerType::ide:
        if (is_microvm(config)) {
          return unsupported(path, "IDE controllers are unsupported for this machine type; use machine='pc'");
        }
        break;
      case ControllerType::fdc:
        if (is_microvm(config)) {
          return unsupported(path, "floppy controllers are unsupported for this machine type; use machine='pc'");
        }
        break;
      case ControllerType::pci:
        if (!controller.model.ends_with("-root")) {
          return unsupported(path, "this version of Lodge has one PCI bus, without bridges and ports");
        }
        break;
      case ControllerType::virtio_serial:
      case ControllerType::usb: break;
    }
  }
  return {};
}

template <class T>
bool is_ide_controller(const T& device) {
  if constexpr (std::is_same_v<T, DomainController>) {
    return device.type == ControllerType::ide;
  }
  return false;
}

// Its place is looked at by check_usb().
template <class T>
bool is_piix_usb(const T& device) {
  if constexpr (std::is_same_v<T, DomainController>) {
    return is_piix_uhci(device);
  }
  return false;
}

Answer<void> check_places(const DomainConfig& config) {
  constexpr uint8_t kPcChipset = 1;
  Answer<void> outcome;
  each_device(config.devices, [&](const auto& device) {
    using T = std::remove_cvref_t<decltype(device)>;
    if constexpr (std::is_base_of_v<DeviceInfo, T>) {
      const auto* at = device.address ? std::get_if<PciAddress>(&*device.address) : nullptr;
      if (!outcome || at == nullptr || is_piix_usb(device)) {
        return;
      }
      const std::string path = fmt::format("/domain/devices/{}/address", element_of(Device(device)));
      const bool ide = is_ide_controller(device);
      if (ide && (at->bus != 0 || at->slot != kPcChipset || at->function != 1)) {
        outcome = call_error(VIR_ERR_XML_ERROR, "Primary IDE controller must have PCI address 0:0:1.1");
      } else if (!ide && (at->bus != 0 || at->function != 0)) {
        outcome = unsupported(
            path, fmt::format("{}: this version of Lodge has bus 0, and function 0 of its slots", to_string(*at)));
      } else if (!ide && at->slot == kPcChipset && !is_microvm(config)) {
        outcome = unsupported(path, fmt::format("{}: this slot is the chipset's; use another", to_string(*at)));
      }
    }
  });
  return outcome;
}

Answer<void> check_graphics(const std::vector<DomainGraphics>& all) {
  constexpr std::string_view kPath = "/domain/devices/graphics";
  for (const DomainGraphics& graphics : all) {
    if (graphics.type != GraphicsType::vnc) {
      return unsupported(fmt::format("{}/@type", kPath),
                         fmt::format("this version of Lodge has 'vnc', not '{}'", xml_word(graphics.type)));
    }
    if (graphics.websocket) {
      return unsupported(fmt::format("{}/@websocket", kPath), "this version of Lodge has no websockets");
    }
    if (graphics.power_control == YesNo::yes) {
      return unsupported(fmt::format("{}/@powerControl", kPath), "viewers cannot switch guests off");
    }
    if (graphics.connected != IfConnected::absent && graphics.connected != IfConnected::keep) {
      return unsupported(fmt::format("{}/@connected", kPath), "viewers that are connected stay; use 'keep'");
    }
    for (const GraphicsListen& listen : graphics.listens) {
      if (listen.type == ListenType::network) {
        return unsupported(fmt::format("{}/listen/@type", kPath), "this version of Lodge has no networks; use 'address'");
      }
    }
  }
  if (all.size() > 1) {
    return unsupported(fmt::format("{}[2]", kPath), "this version of Lodge has one display server for a guest");
  }
  return {};
}

Answer<void> check_virtio_screen(const DomainVideo& video) {
  constexpr std::string_view kModel = "/domain/devices/video/model";
  if (video.accel3d == YesNo::yes) {
    return unsupported(fmt::format("{}/acceleration/@accel3d", kModel), "this version of Lodge has displays without 3D");
  }
  if (video.blob == OnOff::on) {
    return unsupported(fmt::format("{}/@blob", kModel), "this version of Lodge has no blob resources");
  }
  if (video.heads.value_or(1) > 1) {
    return unsupported(fmt::format("{}/@heads", kModel), "this version of Lodge has displays with one head");
  }
  const uint32_t x = video.resolution_x.value_or(offered::kLeastResolution);
  const uint32_t y = video.resolution_y.value_or(offered::kLeastResolution);
  if (x < offered::kLeastResolution || x > offered::kMostResolutionX || y < offered::kLeastResolution ||
      y > offered::kMostResolutionY) {
    return unsupported(fmt::format("{}/resolution", kModel),
                       fmt::format("{}x{}: a screen has from {}x{} to {}x{} pixels", x, y, offered::kLeastResolution,
                                   offered::kLeastResolution, offered::kMostResolutionX, offered::kMostResolutionY));
  }
  TRY(ring_of(video.virtio, "/domain/devices/video"));
  return {};
}

Answer<void> check_screen(const DomainConfig& config) {
  const DomainDevices& devices = config.devices;
  const bool screen =
      std::ranges::any_of(devices.videos, [](const DomainVideo& video) { return video.model != VideoModel::none; });
  for (const DomainVideo& video : devices.videos) {
    if (video.model == VideoModel::virtio) {
      TRY_VOID(check_virtio_screen(video));
      continue;
    }
    if (video.model != VideoModel::none && video.model != VideoModel::vga) {
      return unsupported(
          "/domain/devices/video/model/@type",
          fmt::format("this version of Lodge has 'vga', 'virtio' and 'none', not '{}'", xml_word(video.model)));
    }
    if (video.model == VideoModel::vga && is_microvm(config)) {
      return unsupported("/domain/devices/video", "machine 'microvm' has no VGA; use model type='virtio', or machine='pc'");
    }
    if (video.resolution_x || video.accel3d == YesNo::yes) {
      return unsupported("/domain/devices/video/model", "a 'vga' has neither <resolution> nor <acceleration accel3d='yes'>");
    }
  }
  if (devices.videos.size() > 1) {
    return unsupported("/domain/devices/video[2]", "this version of Lodge has one screen");
  }
  if (!devices.graphics.empty() && !screen) {
    return unsupported("/domain/devices/graphics", "there is no screen to show; use <video><model type='vga'/></video>");
  }
  return check_graphics(devices.graphics);
}

}  // namespace

void add_slot(Json& json, const DeviceInfo& device) {
  if (device.address) {
    if (const auto* pci = std::get_if<PciAddress>(&*device.address)) {
      json["slot"] = pci->slot;
    }
  }
}

bool wants_tap(const DomainInterface& interface) {
  return interface.type == InterfaceType::bridge || interface.type == InterfaceType::network ||
         interface.type == InterfaceType::ethernet;
}

Answer<Json> disk_json(const DomainDisk& disk) {
  const std::string path = fmt::format("/domain/devices/disk[target/@dev='{}']", disk.target);
  if (disk.bus != DiskBus::virtio && disk.bus != DiskBus::ide && disk.bus != DiskBus::fdc && disk.bus != DiskBus::usb) {
    return unsupported(
        path + "/target/@bus",
        fmt::format("this version of Lodge has drives on 'virtio', 'ide', 'fdc' and 'usb', not '{}'", xml_word(disk.bus)));
  }
  if (disk.source.type == DiskType::volume) {
    return unsupported(path + "/source/@pool", "this version of Lodge takes files and block devices");
  }
  if (!disk.driver.format.empty() && disk.driver.format != "raw") {
    return unsupported(path + "/driver/@type",
                       fmt::format("this version of Lodge reads raw images, not '{}'", disk.driver.format));
  }
  if (!disk.has_medium() && disk.device == DiskDevice::disk) {
    return unsupported(path + "/source", "a disk needs an image");
  }
  Json json{{"id", disk.alias}, {"read_only", disk.readonly}, {"shareable", disk.shareable}};
  if (disk.has_medium()) {
    json["path"] = disk.source.path;
  }
  if (!disk.serial.empty()) {
    json["serial"] = disk.serial;
  }
  set_word(json, "cache", disk.driver.cache);
  set_word(json, "discard", disk.driver.discard);
  if (disk.driver.error_policy != ErrorPolicy::absent) {
    json["write_errors"] = disk.driver.error_policy == ErrorPolicy::enospace ? "enospc" : xml_word(disk.driver.error_policy);
  }
  set_word(json, "read_errors", disk.driver.rerror_policy);
  switch (disk.bus) {
    case DiskBus::ide: add_ide_drive(json, disk); break;
    case DiskBus::fdc: add_floppy_drive(json, disk); break;
    case DiskBus::usb: add_usb_disk(json, disk); break;
    default: add_virtio_disk(json, disk); break;
  }
  return json;
}

Answer<Json> interface_json(const DomainInterface& interface) {
  const std::string path = fmt::format("/domain/devices/interface[mac/@address='{}']", to_xml(interface.mac));
  Json json{{"id", interface.alias}, {"mac", to_xml(interface.mac)}, {"link", interface.link != LinkState::down}};
  switch (interface.type) {
    case InterfaceType::user: json["kind"] = "user"; break;
    case InterfaceType::bridge:
    case InterfaceType::network:
    case InterfaceType::ethernet:
      json["kind"] = "tap";
      json["vhost"] = interface.driver.name == NetDriver::vhost;
      break;
    case InterfaceType::direct:
      return unsupported(path + "/@type", fmt::format("this version of Lodge has no interfaces of type '{}'; use network, "
                                                      "bridge, ethernet or user",
                                                      xml_word(interface.type)));
  }
  if (!interface.filter.empty()) {
    return unsupported(path + "/filterref", "this version of Lodge has no network filters");
  }
  const offered::Card& card = *TRY(card_of(interface, path));
  json["model"] = card.virtio ? "virtio" : card.model;
  if (card.virtio) {
    set_if(json, "mtu", interface.mtu);
    set_if(json, "queues", interface.driver.queues);
    add_virtio(json, interface.driver.virtio, interface.driver.event_idx);
    if (interface.model == "virtio-transitional") {
      json["version"] = "transitional";
    } else if (interface.model == "virtio-non-transitional") {
      json["version"] = "modern";
    }
  }
  add_slot(json, interface);
  return json;
}

Answer<void> add_video(Json& machine, const DomainConfig& config, const MachineFds& fds) {
  constexpr uint64_t kLeastMib = 1;
  constexpr uint64_t kMostMib = 256;
  if (config.devices.videos.empty() || config.devices.videos.front().model == VideoModel::none) {
    return {};
  }
  const DomainVideo& video = config.devices.videos.front();
  const bool virtio = video.model == VideoModel::virtio;
  // As QEMU's first display on a pc: firmware and guests without a driver find a VGA.
  Json json{{"enabled", true}, {"model", !virtio ? "vga" : is_microvm(config) ? "virtio" : "virtio-vga"}};
  if (virtio) {
    set_if(json, "width", video.resolution_x);
    set_if(json, "height", video.resolution_y);
    json["ring"] = TRY(ring_of(video.virtio, "/domain/devices/video"));
  } else if (video.vram_kib) {  // rounded as QEMU does
    const uint64_t mib = std::clamp((uint64_t{*video.vram_kib} + 1023) / 1024, kLeastMib, kMostMib);
    json["memory_mib"] = std::bit_ceil(mib);
  }
  if (fds.video_rom >= 0) {
    json["rom"] = virtio ? offered::kVirtioVideoBios : offered::kVideoBios;
    json["rom_fd"] = fds.video_rom;
  }
  add_slot(json, video);
  machine["video"] = json;
  return {};
}

Answer<void> check_watchdog(const DomainConfig& config) {
  if (config.devices.watchdogs.empty()) {
    return {};
  }
  const DomainWatchdog& watchdog = config.devices.watchdogs.front();
  if (watchdog.action == WatchdogAction::dump) {
    return unsupported("/domain/devices/watchdog/@action",
                       "this version of Lodge writes no dump of a guest; use 'pause' to look at one");
  }
  if (watchdog.model == WatchdogModel::ib700 && is_microvm(config)) {
    return unsupported("/domain/devices/watchdog/@model", "ib700 is a board of machine 'pc'; use 'i6300esb'");
  }
  if (watchdog.model == WatchdogModel::ib700 && watchdog.address && watchdog.address != DeviceAddress(IsaAddress{})) {
    return unsupported("/domain/devices/watchdog/address",
                       "the ports of an ib700 are where they are; leave the address out");
  }
  return {};
}

Answer<void> refuse_devices(const DomainConfig& config) {
  TRY_VOID(refuse_controllers(config));
  TRY_VOID(check_usb(config));  // before the places of those that there are not
  TRY_VOID(check_places(config));
  TRY_VOID(check_screen(config));
  return check_watchdog(config);
}

void add_watchdog(Json& machine, const DomainConfig& config) {
  if (config.devices.watchdogs.empty()) {
    return;
  }
  const DomainWatchdog& watchdog = config.devices.watchdogs.front();
  Json json{{"enabled", true}, {"model", xml_word(watchdog.model)}, {"action", xml_word(watchdog.action)}};
  if (watchdog.model == WatchdogModel::i6300esb) {
    add_slot(json, watchdog);
  }
  machine["watchdog"] = json;
}

std::vector<std::string> leave_out(DomainConfig& live) {
  std::vector<std::string> names;
  const bool keyboard = has_firmware(live);
  std::erase_if(live.devices.inputs, [&](const DomainInput& input) {
    const bool absent = input.bus == InputBus::ps2 && !keyboard;
    if (absent) {
      names.push_back(fmt::format("{} {}", xml_word(input.bus), xml_word(input.type)));
    }
    return absent;
  });
  return names;
}

}  // namespace lodge
