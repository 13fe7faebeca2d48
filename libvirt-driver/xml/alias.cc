// assign_aliases(): libvirt's names of a running domain's devices, which clients and events use.
#include <charconv>
#include <set>

#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/each_device.h"

namespace lodge {
namespace {

std::string disk_alias(const DomainDisk& disk) {
  const auto* drive = disk.address ? std::get_if<DriveAddress>(&*disk.address) : nullptr;
  if (drive == nullptr) {
    return fmt::format("{}-disk{}", xml_word(disk.bus), disk_index(disk.target).value_or(0));
  }
  if (disk.bus == DiskBus::scsi) {
    return fmt::format("scsi{}-{}-{}-{}", drive->controller, drive->bus, drive->target, drive->unit);
  }
  return fmt::format("{}{}-{}-{}", xml_word(disk.bus), drive->controller, drive->bus, drive->unit);
}

std::string controller_alias(const DomainController& controller) {
  const uint32_t index = controller.index.value_or(0);
  if (controller.type == ControllerType::pci) {
    return fmt::format("{}.{}", controller.model == "pcie-root" ? "pcie" : "pci", index);
  }
  // The first of these have no number, as libvirt has it.
  const bool bare = index == 0 && (controller.type == ControllerType::usb || controller.type == ControllerType::ide);
  return bare ? std::string(xml_word(controller.type)) : fmt::format("{}{}", xml_word(controller.type), index);
}

// "net" 0, 1, ...: after the highest that is in use, so that a name is not soon used again.
template <class List>
void number(List& list, std::string_view prefix) {
  uint32_t next = 0;
  for (const auto& device : list) {
    uint32_t used = 0;
    if (std::string_view(device.alias).starts_with(prefix) &&
        parse_number(std::string_view(device.alias).substr(prefix.size()), used) && used < UINT32_MAX) {
      next = std::max(next, used + 1);
    }
  }
  for (auto& device : list) {
    if (device.alias.empty()) {
      device.alias = fmt::format("{}{}", prefix, next++);
    }
  }
}

}  // namespace

void assign_aliases(DomainConfig& config) {
  DomainDevices& devices = config.devices;
  for (DomainDisk& disk : devices.disks) {
    if (disk.alias.empty()) {
      disk.alias = disk_alias(disk);
    }
  }
  for (DomainController& controller : devices.controllers) {
    if (controller.alias.empty()) {
      controller.alias = controller_alias(controller);
    }
  }
  number(devices.interfaces, "net");
  number(devices.serials, "serial");
  number(devices.parallels, "parallel");
  if (!devices.consoles.empty() && !devices.serials.empty() && devices.consoles.front().target == ConsoleTarget::serial) {
    devices.consoles.front().alias = devices.serials.front().alias;
  }
  for (size_t i = 0; i < devices.consoles.size(); ++i) {
    if (devices.consoles[i].alias.empty()) {
      devices.consoles[i].alias = fmt::format("console{}", i);
    }
  }
  number(devices.channels, "channel");
  number(devices.inputs, "input");
  number(devices.videos, "video");
  number(devices.watchdogs, "watchdog");
  if (devices.memballoon && devices.memballoon->alias.empty() && devices.memballoon->model != BalloonModel::none) {
    devices.memballoon->alias = "balloon0";
  }
  number(devices.rngs, "rng");
  number(devices.panics, "panic");
  number(devices.vsocks, "vsock");
  number(devices.filesystems, "fs");
}

}  // namespace lodge
