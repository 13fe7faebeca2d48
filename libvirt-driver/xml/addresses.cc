#include "libvirt-driver/xml/addresses.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace lodge {
namespace {

constexpr uint32_t kMostControllers = 32;

using DriveKey = std::tuple<DiskBus, uint32_t, uint32_t, uint32_t, uint32_t>;

ControllerType controller_of(DiskBus bus) {
  switch (bus) {
    case DiskBus::fdc: return ControllerType::fdc;
    case DiskBus::scsi: return ControllerType::scsi;
    case DiskBus::sata: return ControllerType::sata;
    default: return ControllerType::ide;
  }
}

bool is_drive(DiskBus bus) {
  return bus == DiskBus::ide || bus == DiskBus::fdc || bus == DiskBus::scsi || bus == DiskBus::sata;
}

// Where a disk's name puts it, as libvirt places them.
DriveAddress place(DiskBus bus, uint32_t index) {
  switch (bus) {
    case DiskBus::ide: return {.controller = index / 4, .bus = index % 4 / 2, .unit = index % 2};
    case DiskBus::fdc: return {.controller = index / 2, .unit = index % 2};
    case DiskBus::sata: return {.controller = index / 6, .unit = index % 6};
    default: {
      constexpr uint32_t kSelf = 7;  // the controller's own number on its bus
      const uint32_t unit = index % 15;
      return {.controller = index / 15, .unit = unit >= kSelf ? unit + 1 : unit};
    }
  }
}

// Consoles and channels on a virtio-serial controller, one type after the other.
template <class F>
Answer<void> each_port(DomainConfig& config, F&& f) {
  for (DomainConsole& console : config.devices.consoles) {
    if (console.target == ConsoleTarget::virtio) {
      TRY_VOID(f(console, uint32_t{0}));
    }
  }
  for (DomainChannel& channel : config.devices.channels) {
    TRY_VOID(f(channel, uint32_t{1}));  // port 0 is for a console: old guests look for it there
  }
  return {};
}

template <class F>
Answer<void> each_usb(DomainConfig& config, F&& f) {
  for (DomainDisk& disk : config.devices.disks) {
    if (disk.bus == DiskBus::usb) {
      TRY_VOID(f(disk));
    }
  }
  for (DomainInput& input : config.devices.inputs) {
    if (input.bus == InputBus::usb) {
      TRY_VOID(f(input));
    }
  }
  for (DomainSerial& serial : config.devices.serials) {
    if (serial.target == SerialTarget::usb) {
      TRY_VOID(f(serial));
    }
  }
  return {};
}

uint32_t ports_of(const DomainController& usb) {
  constexpr uint32_t kXhci = 15;
  if (usb.ports) {
    return std::min(*usb.ports, kXhci);
  }
  return usb.model.ends_with("uhci") || usb.model.find("uhci") != std::string::npos ? 2
         : usb.model.find("ehci") != std::string::npos                              ? 6
                                                                                    : kXhci;
}

}  // namespace

bool is_piix_uhci(const DomainController& controller) {
  return controller.type == ControllerType::usb && controller.model == "piix3-uhci";
}

DomainController* find_controller(DomainConfig& config, ControllerType type, uint32_t index) {
  const auto it = std::ranges::find_if(config.devices.controllers, [&](const DomainController& controller) {
    return controller.type == type && controller.index == index;
  });
  return it == config.devices.controllers.end() ? nullptr : &*it;
}

DomainController& want_controller(DomainConfig& config, ControllerType type, uint32_t index) {
  if (DomainController* there = find_controller(config, type, index)) {
    return *there;
  }
  DomainController& made = config.devices.controllers.emplace_back();
  made.type = type;
  made.index = index;
  return made;
}

Answer<void> assign_drive_addresses(DomainConfig& config) {
  std::set<DriveKey> taken;
  for (DomainDisk& disk : config.devices.disks) {
    if (!is_drive(disk.bus)) {
      continue;
    }
    if (!disk.address) {
      const auto index = disk_index(disk.target);
      if (!index) {
        return call_error(VIR_ERR_XML_ERROR, "Unknown disk name '{}' and no address specified", disk.target);
      }
      disk.address = place(disk.bus, *index);
    }
    const auto* drive = std::get_if<DriveAddress>(&*disk.address);
    if (drive == nullptr) {
      return call_error(VIR_ERR_XML_ERROR, "disk {}: bus {} wants an address of type 'drive'", disk.target,
                        xml_word(disk.bus));
    }
    if (disk.bus == DiskBus::ide && drive->controller != 0) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                        "disk {}: Only a single IDE controller is supported for this machine type", disk.target);
    }
    if (disk.bus == DiskBus::ide && (drive->bus > 1 || drive->target != 0 || drive->unit > 1)) {
      return call_error(VIR_ERR_XML_ERROR,
                        "disk {}: an address on the IDE bus has bus 0 or 1, target 0 and unit 0 or 1, not {}, {} and {}",
                        disk.target, drive->bus, drive->target, drive->unit);
    }
    if (disk.bus == DiskBus::fdc && drive->controller != 0) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "disk {}: Only 1 fdc controller is supported", disk.target);
    }
    if (disk.bus == DiskBus::fdc && (drive->bus != 0 || drive->target != 0 || drive->unit > 1)) {
      return call_error(
          VIR_ERR_XML_ERROR,
          "disk {}: an address on the floppy controller has bus 0, target 0 and unit 0 or 1, not {}, {} and {}", disk.target,
          drive->bus, drive->target, drive->unit);
    }
    if (drive->controller >= kMostControllers) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "disk {}: controller {} is beyond the last, {}", disk.target,
                        drive->controller, kMostControllers - 1);
    }
    if (!taken.emplace(disk.bus, drive->controller, drive->bus, drive->target, drive->unit).second) {
      return call_error(VIR_ERR_XML_ERROR,
                        "Found duplicate drive address for disk with target name '{}' controller='{}' bus='{}' target='{}' "
                        "unit='{}'",
                        disk.target, drive->controller, drive->bus, drive->target, drive->unit);
    }
    for (uint32_t i = 0; i <= drive->controller; ++i) {
      want_controller(config, controller_of(disk.bus), i);
    }
  }
  return {};
}

Answer<void> assign_serial_ports(DomainConfig& config) {
  constexpr uint32_t kPorts = 31;
  std::set<std::pair<uint32_t, uint32_t>> taken;
  const auto reserve = [&](DeviceInfo& device, uint32_t) -> Answer<void> {
    if (!device.address) {
      return {};
    }
    const auto* at = std::get_if<VirtioSerialAddress>(&*device.address);
    if (at == nullptr || at->bus != 0 || at->controller >= kMostControllers || at->port.value_or(0) >= kPorts) {
      return call_error(
          VIR_ERR_XML_ERROR,
          "a virtio console or channel wants an address of type 'virtio-serial' with controller below {}, bus 0 "
          "and port below {}",
          kMostControllers, kPorts);
    }
    if (at->port && !taken.emplace(at->controller, *at->port).second) {
      return call_error(VIR_ERR_XML_ERROR, "virtio serial port {} on controller {} is already occupied", *at->port,
                        at->controller);
    }
    return {};
  };
  TRY_VOID(each_port(config, reserve));
  return each_port(config, [&](DeviceInfo& device, uint32_t first) -> Answer<void> {
    auto* given = device.address ? std::get_if<VirtioSerialAddress>(&*device.address) : nullptr;
    const uint32_t begin = given != nullptr ? given->controller : 0;
    const uint32_t end = given != nullptr ? given->controller + 1 : kMostControllers;
    if (given != nullptr && given->port) {
      want_controller(config, ControllerType::virtio_serial, given->controller);
      return {};
    }
    for (uint32_t controller = begin; controller < end; ++controller) {
      const uint32_t ports = want_controller(config, ControllerType::virtio_serial, controller).ports.value_or(kPorts);
      for (uint32_t port = first; port < std::min(ports, kPorts); ++port) {
        if (taken.emplace(controller, port).second) {
          device.address = VirtioSerialAddress{.controller = controller, .port = port};
          return {};
        }
      }
    }
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "no virtio serial port is left for a console or channel");
  });
}

Answer<void> assign_usb_ports(DomainConfig& config) {
  std::set<std::pair<uint32_t, std::string>> taken;
  TRY_VOID(each_usb(config, [&](DeviceInfo& device) -> Answer<void> {
    const auto* at = device.address ? std::get_if<UsbAddress>(&*device.address) : nullptr;
    if (device.address && at == nullptr) {
      return call_error(VIR_ERR_XML_ERROR, "a USB device wants an address of type 'usb'");
    }
    if (at != nullptr && !at->port.empty() && !taken.emplace(at->bus, at->port).second) {
      return call_error(VIR_ERR_XML_ERROR, "Duplicate USB address bus {} port {}", at->bus, at->port);
    }
    if (at != nullptr && find_controller(config, ControllerType::usb, at->bus) == nullptr) {
      return call_error(VIR_ERR_XML_ERROR, "USB bus {} is not there: no <controller type='usb' index='{}'>", at->bus,
                        at->bus);
    }
    return {};
  }));
  return each_usb(config, [&](DeviceInfo& device) -> Answer<void> {
    auto* at = device.address ? std::get_if<UsbAddress>(&*device.address) : nullptr;
    if (at != nullptr && !at->port.empty()) {
      return {};
    }
    for (const DomainController& usb : config.devices.controllers) {
      if (usb.type != ControllerType::usb || (at != nullptr && usb.index != at->bus)) {
        continue;
      }
      for (uint32_t port = 1; port <= ports_of(usb); ++port) {
        if (taken.emplace(usb.index.value_or(0), std::to_string(port)).second) {
          device.address = UsbAddress{.bus = usb.index.value_or(0), .port = std::to_string(port)};
          return {};
        }
      }
    }
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "No free USB port is left; take a device away, or give <controller type='usb'> more ports");
  });
}

}  // namespace lodge
