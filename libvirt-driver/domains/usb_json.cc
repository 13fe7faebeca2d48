#include "libvirt-driver/domains/usb_json.h"

#include <algorithm>
#include <charconv>

#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/xml/addresses.h"
#include "libvirt-driver/xml/describe.h"

namespace lodge {
namespace {

constexpr uint32_t kMostPorts = 15;  // which an xHCI controller has, too, when none are asked for
constexpr uint32_t kUhciPorts = 2;

uint32_t ports_of(const DomainController& controller) {
  return is_piix_uhci(controller) ? kUhciPorts : std::min(controller.ports.value_or(kMostPorts), kMostPorts);
}

Answer<void> check_controller(const DomainController& controller) {
  if (controller.model != "qemu-xhci" && !is_piix_uhci(controller)) {
    return unsupported(
        "/domain/devices/controller[@type='usb']/@model",
        fmt::format("this version of Lodge has USB controllers of models 'qemu-xhci' and 'piix3-uhci', not '{}'",
                    controller.model));
  }
  const auto* const at = controller.address ? std::get_if<PciAddress>(&*controller.address) : nullptr;
  if (is_piix_uhci(controller) && at != nullptr &&
      (at->domain != 0 || at->bus != 0 || at->slot != kPiixUhciPlace.slot || at->function != kPiixUhciPlace.function)) {
    return unsupported("/domain/devices/controller[@type='usb']/address",
                       fmt::format("the USB controller of model 'piix3-uhci' is at {}", to_string(kPiixUhciPlace)));
  }
  return {};
}

// The USB controller; null: there is none.
const DomainController* usb_controller(const DomainConfig& config) {
  const auto it = std::ranges::find_if(config.devices.controllers, [](const DomainController& controller) {
    return controller.type == ControllerType::usb && controller.model != "none";
  });
  return it != config.devices.controllers.end() ? &*it : nullptr;
}

// The port of the controller itself; 0: none, or one of a hub.
uint32_t port_of(const DeviceInfo& device) {
  const auto* at = device.address ? std::get_if<UsbAddress>(&*device.address) : nullptr;
  uint32_t port = 0;
  if (at != nullptr) {
    const auto [end, error] = std::from_chars(at->port.data(), at->port.data() + at->port.size(), port);
    port = error == std::errc() && end == at->port.data() + at->port.size() ? port : 0;
  }
  return port;
}

}  // namespace

Answer<void> check_usb(const DomainConfig& config) {
  const DomainController* const controller = usb_controller(config);
  for (const DomainController& one : config.devices.controllers) {
    if (one.type != ControllerType::usb || one.model == "none") {
      continue;
    }
    TRY_VOID(check_controller(one));
    if (&one != controller) {
      return unsupported("/domain/devices/controller[@type='usb'][2]", "this version of Lodge has one USB controller");
    }
  }
  const auto check = [&](const DeviceInfo& device, std::string_view path) -> Answer<void> {
    if (device.address && (controller == nullptr || port_of(device) == 0 || port_of(device) > ports_of(*controller))) {
      return unsupported(fmt::format("{}/address/@port", path), "this version of Lodge has no USB hubs, and no such port");
    }
    return {};
  };
  for (const DomainInput& input : config.devices.inputs) {
    if (input.bus == InputBus::usb) {
      TRY_VOID(check(input, "/domain/devices/input"));
    }
  }
  for (const DomainDisk& disk : config.devices.disks) {
    if (disk.bus != DiskBus::usb) {
      continue;
    }
    const std::string path = fmt::format("/domain/devices/disk[target/@dev='{}']", disk.target);
    if (disk.device != DiskDevice::disk) {
      return unsupported(path + "/@device", "this version of Lodge has USB disks, no USB CD drives; use bus='ide'");
    }
    TRY_VOID(check(disk, path));
  }
  return {};
}

Answer<void> check_usb_newcomer(const DomainConfig& before, const DomainConfig& after) {
  if (usb_controller(before) == nullptr) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED,
                      "the running guest has no USB controller, and none can be added to it; attach the device with "
                      "--config and start the guest anew");
  }
  return check_usb(after);
}

Json usb_input_json(const DomainInput& input) {
  return {{"id", input.alias}, {"kind", xml_word(input.type)}, {"port", port_of(input)}};
}

void add_usb(Json& machine, const DomainConfig& config) {
  const DomainController* const controller = usb_controller(config);
  if (controller == nullptr) {
    return;
  }
  Json usb{
      {"enabled", true}, {"model", is_piix_uhci(*controller) ? "piix3-uhci" : "xhci"}, {"ports", ports_of(*controller)}};
  if (!is_piix_uhci(*controller)) {
    add_slot(usb, *controller);
  }
  machine["usb"] = usb;
  Json devices = Json::array();
  for (const DomainInput& input : config.devices.inputs) {
    if (input.bus == InputBus::usb) {
      devices.push_back(usb_input_json(input));
    }
  }
  machine["usb_devices"] = devices;
}

void add_usb_disk(Json& json, const DomainDisk& disk) {
  json["bus"] = "usb";
  json["port"] = port_of(disk);
}

}  // namespace lodge
