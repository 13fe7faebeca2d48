// Adding, removing and changing one device of a domain.
#include <algorithm>
#include <type_traits>

#include "libvirt-driver/xml/describe.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/each_device.h"

namespace lodge {
namespace {

// The list of a domain's devices that a device is one of; memballoon is none.
template <class T, class Devices>
auto& list_of(Devices& devices) {
  if constexpr (std::is_same_v<T, DomainDisk>) {
    return devices.disks;
  } else if constexpr (std::is_same_v<T, DomainController>) {
    return devices.controllers;
  } else if constexpr (std::is_same_v<T, DomainInterface>) {
    return devices.interfaces;
  } else if constexpr (std::is_same_v<T, DomainSerial>) {
    return devices.serials;
  } else if constexpr (std::is_same_v<T, DomainParallel>) {
    return devices.parallels;
  } else if constexpr (std::is_same_v<T, DomainVsock>) {
    return devices.vsocks;
  } else if constexpr (std::is_same_v<T, DomainFilesystem>) {
    return devices.filesystems;
  } else if constexpr (std::is_same_v<T, DomainConsole>) {
    return devices.consoles;
  } else if constexpr (std::is_same_v<T, DomainChannel>) {
    return devices.channels;
  } else if constexpr (std::is_same_v<T, DomainInput>) {
    return devices.inputs;
  } else if constexpr (std::is_same_v<T, DomainGraphics>) {
    return devices.graphics;
  } else if constexpr (std::is_same_v<T, DomainAudio>) {
    return devices.audios;
  } else if constexpr (std::is_same_v<T, DomainVideo>) {
    return devices.videos;
  } else if constexpr (std::is_same_v<T, DomainWatchdog>) {
    return devices.watchdogs;
  } else if constexpr (std::is_same_v<T, DomainRng>) {
    return devices.rngs;
  } else {
    static_assert(std::is_same_v<T, DomainPanic>);
    return devices.panics;
  }
}

bool same_place(const DeviceAddress& there, const DeviceAddress& wanted) {
  const auto* a = std::get_if<PciAddress>(&there);
  const auto* b = std::get_if<PciAddress>(&wanted);
  if (a != nullptr && b != nullptr) {
    return a->domain == b->domain && a->bus == b->bus && a->slot == b->slot && a->function == b->function;
  }
  const auto* serial = std::get_if<VirtioSerialAddress>(&wanted);
  return there == wanted || (serial != nullptr && !serial->port && std::holds_alternative<VirtioSerialAddress>(there));
}

// Alias and address, where they are given.
bool same_info(const DeviceInfo& there, const DeviceInfo& wanted) {
  return (wanted.alias.empty() || there.alias.empty() || there.alias == wanted.alias) &&
         (!wanted.address || !there.address || same_place(*there.address, *wanted.address));
}

template <class E>
bool same(E there, E wanted) {
  return wanted == E{} || there == wanted;
}

bool same_source(const CharSource& there, const CharSource& wanted) {
  return there.type == wanted.type && (wanted.path.empty() || there.path == wanted.path) && there.host == wanted.host &&
         there.service == wanted.service;
}

bool matches(const DomainDisk& there, const DomainDisk& wanted) { return there.target == wanted.target; }
bool matches(const DomainInterface& there, const DomainInterface& wanted) {
  return (wanted.mac == MacAddress{} || there.mac == wanted.mac) && same_info(there, wanted) &&
         (wanted.mac != MacAddress{} || wanted.address || !wanted.alias.empty());
}
bool matches(const DomainController& there, const DomainController& wanted) {
  return there.type == wanted.type && (!wanted.index || there.index == wanted.index) && same_info(there, wanted);
}
bool matches(const DomainSerial& there, const DomainSerial& wanted) {
  return same_source(there.source, wanted.source) && same(there.target, wanted.target) &&
         (!wanted.port || there.port == wanted.port) && same_info(there, wanted);
}
bool matches(const DomainParallel& there, const DomainParallel& wanted) {
  return same_source(there.source, wanted.source) && (!wanted.port || there.port == wanted.port) && same_info(there, wanted);
}
bool matches(const DomainVsock& there, const DomainVsock& wanted) {
  return same(there.model, wanted.model) && (!wanted.cid || there.cid == wanted.cid) && same_info(there, wanted);
}
bool matches(const DomainFilesystem& there, const DomainFilesystem& wanted) { return there.tag == wanted.tag; }
bool matches(const DomainConsole& there, const DomainConsole& wanted) {
  return same_source(there.source, wanted.source) && same(there.target, wanted.target) &&
         (!wanted.port || there.port == wanted.port) && same_info(there, wanted);
}
bool matches(const DomainChannel& there, const DomainChannel& wanted) {
  return same_source(there.source, wanted.source) && there.name == wanted.name && same_info(there, wanted);
}
bool matches(const DomainInput& there, const DomainInput& wanted) {
  return there.type == wanted.type && same(there.bus, wanted.bus) && same_info(there, wanted);
}
bool matches(const DomainGraphics& there, const DomainGraphics& wanted) { return there.type == wanted.type; }
bool matches(const DomainAudio& there, const DomainAudio& wanted) { return there.id == wanted.id; }
bool matches(const DomainVideo& there, const DomainVideo& wanted) {
  return same(there.model, wanted.model) && same_info(there, wanted);
}
bool matches(const DomainWatchdog& there, const DomainWatchdog& wanted) {
  return there.model == wanted.model && there.action == wanted.action && same_info(there, wanted);
}
bool matches(const DomainRng& there, const DomainRng& wanted) {
  return there.model == wanted.model && there.backend == wanted.backend &&
         (wanted.path.empty() || there.path == wanted.path) && same_info(there, wanted);
}
bool matches(const DomainPanic& there, const DomainPanic& wanted) {
  return same(there.model, wanted.model) && same_info(there, wanted);
}

// What an error calls the device.
template <class T>
std::string describe_wanted(const T& wanted) {
  if constexpr (std::is_same_v<T, DomainDisk>) {
    return fmt::format("disk {}", wanted.target);
  } else if constexpr (std::is_same_v<T, DomainInterface>) {
    const auto* pci = wanted.address ? std::get_if<PciAddress>(&*wanted.address) : nullptr;
    return fmt::format("device matching MAC address {}{}", wanted.mac == MacAddress{} ? "(none)" : to_xml(wanted.mac),
                       pci != nullptr ? fmt::format(" on {}", to_string(*pci)) : "");
  } else if constexpr (std::is_same_v<T, DomainController>) {
    return fmt::format("controller {}:{}", xml_word(wanted.type), wanted.index.value_or(0));
  } else {
    return fmt::format("matching {} device", element_of(Device(wanted)));
  }
}

// Its place in the list.
template <class T>
Answer<size_t> find(const DomainDevices& devices, const T& wanted) {
  const std::vector<T>& list = list_of<T>(devices);
  std::optional<size_t> found;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!matches(list[i], wanted)) {
      continue;
    }
    if constexpr (std::is_same_v<T, DomainInterface>) {
      if (found) {
        return call_error(VIR_ERR_OPERATION_FAILED, "multiple devices matching MAC address {} found", to_xml(wanted.mac));
      }
      found = i;
    } else {
      return i;
    }
  }
  if (!found) {
    return call_error(VIR_ERR_DEVICE_MISSING, "{} not found", describe_wanted(wanted));
  }
  return *found;
}

Answer<void> add(DomainDevices& devices, DomainDisk disk) {
  if (std::ranges::any_of(devices.disks, [&](const DomainDisk& there) { return matches(there, disk); })) {
    return call_error(VIR_ERR_OPERATION_INVALID, "target {} already exists", disk.target);
  }
  devices.disks.push_back(std::move(disk));
  return {};
}

Answer<void> add(DomainDevices& devices, DomainController controller) {
  if (controller.index && std::ranges::any_of(devices.controllers, [&](const DomainController& there) {
        return there.type == controller.type && there.index == controller.index;
      })) {
    return call_error(VIR_ERR_OPERATION_INVALID, "controller {}:{} already exists", xml_word(controller.type),
                      *controller.index);
  }
  devices.controllers.push_back(std::move(controller));
  return {};
}

Answer<void> add(DomainDevices& devices, DomainWatchdog watchdog) {
  if (!devices.watchdogs.empty()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain already has a watchdog");
  }
  devices.watchdogs.push_back(std::move(watchdog));
  return {};
}

Answer<void> add(DomainDevices& devices, DomainVsock vsock) {
  if (!devices.vsocks.empty()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "the domain already has a vsock device");
  }
  devices.vsocks.push_back(std::move(vsock));
  return {};
}

Answer<void> add(DomainDevices& devices, DomainFilesystem filesystem) {
  if (std::ranges::any_of(devices.filesystems, [&](const DomainFilesystem& there) { return matches(there, filesystem); })) {
    return call_error(VIR_ERR_OPERATION_INVALID, "target '{}' already exists", filesystem.tag);
  }
  devices.filesystems.push_back(std::move(filesystem));
  return {};
}

Answer<void> add(DomainDevices& devices, DomainBalloon balloon) {
  if (devices.memballoon && devices.memballoon->model != BalloonModel::none) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain already has a memory balloon");
  }
  devices.memballoon = std::move(balloon);
  return {};
}

template <class T>
Answer<void> add(DomainDevices& devices, T device) {
  constexpr bool kFixed = std::is_same_v<T, DomainGraphics> || std::is_same_v<T, DomainAudio> ||
                          std::is_same_v<T, DomainVideo> || std::is_same_v<T, DomainPanic>;
  if constexpr (kFixed) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "attach of device '{}' is not supported", element_of(Device(device)));
  } else {
    list_of<T>(devices).push_back(std::move(device));
    return {};
  }
}

// A serial port and the console that shows it go together.
void remove_twin(DomainDevices& devices, const DomainSerial&, size_t place) {
  if (place == 0 && !devices.consoles.empty() && devices.consoles.front().target == ConsoleTarget::serial) {
    devices.consoles.erase(devices.consoles.begin());
  }
}
void remove_twin(DomainDevices& devices, const DomainConsole& console, size_t place) {
  if (place == 0 && console.target == ConsoleTarget::serial && !devices.serials.empty()) {
    devices.serials.erase(devices.serials.begin());
  }
}
template <class T>
void remove_twin(DomainDevices&, const T&, size_t) {}

// A device that is put in another's place stays where that one was.
template <class T>
void inherit(T& device, const T& before) {
  if constexpr (std::is_base_of_v<DeviceInfo, T>) {
    bool same_bus = true;
    if constexpr (std::is_same_v<T, DomainDisk>) {
      device.bus = device.bus == DiskBus::absent ? before.bus : device.bus;
      same_bus = device.bus == before.bus;
    }
    if (!device.address && same_bus) {
      device.address = before.address;
    }
    if (device.alias.empty()) {
      device.alias = before.alias;
    }
    if (!device.boot_order) {
      device.boot_order = before.boot_order;
    }
  }
  if constexpr (std::is_same_v<T, DomainInterface>) {
    device.mac = device.mac == MacAddress{} ? before.mac : device.mac;
    device.model = device.model.empty() ? before.model : device.model;
  }
}

}  // namespace

Answer<void> add_device(DomainConfig& config, Device device) {
  return std::visit([&](auto& value) { return add(config.devices, std::move(value)); }, device);
}

Answer<void> remove_device(DomainConfig& config, const Device& device) {
  return std::visit(
      [&](const auto& wanted) -> Answer<void> {
        using T = std::remove_cvref_t<decltype(wanted)>;
        if constexpr (std::is_same_v<T, DomainBalloon>) {
          return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "detach of device 'memballoon' is not supported");
        } else {
          const size_t place = TRY(find(config.devices, wanted));
          auto& list = list_of<T>(config.devices);
          const T gone = list[place];
          list.erase(list.begin() + static_cast<ptrdiff_t>(place));
          remove_twin(config.devices, gone, place);
          return {};
        }
      },
      device);
}

Answer<void> update_device(DomainConfig& config, const Device& device) {
  return std::visit(
      [&](const auto& wanted) -> Answer<void> {
        using T = std::remove_cvref_t<decltype(wanted)>;
        T changed = wanted;
        if constexpr (std::is_same_v<T, DomainBalloon>) {
          inherit(changed, config.devices.memballoon.value_or(DomainBalloon{}));
          config.devices.memballoon = std::move(changed);
        } else {
          T& before = list_of<T>(config.devices)[TRY(find(config.devices, wanted))];
          inherit(changed, before);
          before = std::move(changed);
        }
        return {};
      },
      device);
}

Answer<Device> find_device(const DomainConfig& config, const Device& device) {
  return std::visit(
      [&](const auto& wanted) -> Answer<Device> {
        using T = std::remove_cvref_t<decltype(wanted)>;
        if constexpr (std::is_same_v<T, DomainBalloon>) {
          if (!config.devices.memballoon) {
            return call_error(VIR_ERR_DEVICE_MISSING, "matching memballoon device not found");
          }
          return Device(*config.devices.memballoon);
        } else {
          return Device(list_of<T>(config.devices)[TRY(find(config.devices, wanted))]);
        }
      },
      device);
}

Answer<Device> find_alias(const DomainConfig& config, std::string_view alias) {
  std::optional<Device> found;
  each_device(config.devices, [&](const auto& device) {
    if constexpr (std::is_base_of_v<DeviceInfo, std::remove_cvref_t<decltype(device)>>) {
      if (!found && !alias.empty() && device.alias == alias) {
        found = device;
      }
    }
  });
  if (!found) {
    return call_error(VIR_ERR_DEVICE_MISSING, "no device found with alias {}", alias);
  }
  return *found;
}

}  // namespace lodge
