// Places on PCI buses. Bus 0: slot 0 is the host bridge, 1 the chipset (its functions are placed by hand or here), the
// rest is for devices.
#include <algorithm>
#include <array>
#include <bitset>
#include <map>
#include <type_traits>

#include "libvirt-driver/xml/addresses.h"
#include "libvirt-driver/xml/describe.h"
#include "libvirt-driver/xml/each_device.h"

namespace lodge {
namespace {

constexpr uint8_t kChipset = 1;
constexpr uint8_t kLastSlot = 30;
constexpr uint8_t kVideoSlot = 2;

bool is_pci_root(const DomainController& controller) {
  return controller.type == ControllerType::pci && (controller.model == "pci-root" || controller.model == "pcie-root");
}

// Does the device sit on a PCI bus?
template <class T>
bool is_pci(const T& device) {
  if constexpr (std::is_same_v<T, DomainDisk>) {
    return device.bus == DiskBus::virtio;
  } else if constexpr (std::is_same_v<T, DomainController>) {
    return device.type != ControllerType::fdc && !is_pci_root(device) &&
           !(device.type == ControllerType::usb && device.model == "none");
  } else if constexpr (std::is_same_v<T, DomainSerial>) {
    return device.target == SerialTarget::pci;
  } else if constexpr (std::is_same_v<T, DomainInput>) {
    return device.bus == InputBus::virtio;
  } else if constexpr (std::is_same_v<T, DomainVideo>) {
    return device.model != VideoModel::none && device.model != VideoModel::ramfb;
  } else if constexpr (std::is_same_v<T, DomainBalloon>) {
    return device.model != BalloonModel::none;
  } else if constexpr (std::is_same_v<T, DomainPanic>) {
    return device.model == PanicModel::pvpanic;
  } else if constexpr (std::is_same_v<T, DomainWatchdog>) {
    return device.model == WatchdogModel::i6300esb;
  } else {
    return std::is_same_v<T, DomainInterface> || std::is_same_v<T, DomainRng> || std::is_same_v<T, DomainVsock> ||
           std::is_same_v<T, DomainFilesystem>;
  }
}

class PciSlots {
 public:
  explicit PciSlots(const DomainConfig& config) : config_(config) {}

  Answer<void> reserve(const PciAddress& at) {
    TRY_VOID(check_place(at));
    std::bitset<8>& slot = slots_[{at.bus, at.slot}];
    const bool whole = at.function == 0 && at.multifunction != OnOff::on && !(at.bus == 0 && at.slot == kChipset);
    if (slot[at.function] && !(slot.all() && at.function != 0)) {
      return call_error(VIR_ERR_XML_ERROR, "Attempted double use of PCI Address {}", to_string(at));
    }
    if (slot.all() || (whole && slot.any())) {
      return call_error(VIR_ERR_XML_ERROR,
                        "Attempted double use of PCI Address {} (may need \"multifunction='on'\" for device on function 0)",
                        to_string(at));
    }
    whole ? slot.set() : slot.set(at.function);
    return {};
  }

  // The first free slot of bus 0, from `first`.
  Answer<PciAddress> take(uint8_t first = kChipset + 1) {
    for (uint8_t slot = first; slot <= kLastSlot; ++slot) {
      if (slots_[{0, slot}].none()) {
        slots_[{0, slot}].set();
        return PciAddress{.slot = slot};
      }
    }
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "No more available PCI slots: bus 0 has {}", kLastSlot - kChipset);
  }

  bool take_exactly(const PciAddress& at) {
    std::bitset<8>& slot = slots_[{at.bus, at.slot}];
    const bool whole = at.slot != kChipset;
    if (whole ? slot.any() : slot[at.function]) {
      return false;
    }
    whole ? slot.set() : slot.set(at.function);
    return true;
  }

 private:
  Answer<void> check_place(const PciAddress& at) const {
    if (at.domain != 0) {
      return call_error(VIR_ERR_XML_ERROR, "Invalid PCI address {}. Only PCI domain 0 is available", to_string(at));
    }
    if (at.bus == 0) {
      if (at.slot < kChipset) {
        return call_error(VIR_ERR_XML_ERROR, "Invalid PCI address {}. slot must be >= {}", to_string(at), kChipset);
      }
      if (at.slot > kLastSlot) {
        return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "PCI address {}: slot {} is not offered, the last is {}",
                          to_string(at), at.slot, kLastSlot);
      }
      return {};
    }
    const auto bridge = std::ranges::find_if(config_.devices.controllers, [&](const DomainController& controller) {
      return controller.type == ControllerType::pci && controller.index == at.bus;
    });
    if (bridge == config_.devices.controllers.end()) {
      return call_error(VIR_ERR_XML_ERROR, "PCI address {}: no <controller type='pci' index='{}'> makes this bus",
                        to_string(at), at.bus);
    }
    const bool is_port = bridge->model == "pcie-root-port" || bridge->model == "pcie-switch-downstream-port";
    if (is_port && at.slot != 0) {
      return call_error(VIR_ERR_XML_ERROR, "Invalid PCI address {}. slot must be <= 0", to_string(at));
    }
    return {};
  }

  const DomainConfig& config_;
  std::map<std::pair<uint8_t, uint8_t>, std::bitset<8>> slots_;  // bus, slot: functions in use
};

// Video first, for its usual place, then as libvirt goes through the devices.
template <class F>
Answer<void> in_order(DomainDevices& devices, F&& f) {
  const auto all = [&f](auto& list) -> Answer<void> {
    for (auto& device : list) {
      TRY_VOID(f(device));
    }
    return {};
  };
  if (!devices.videos.empty()) {
    TRY_VOID(f(devices.videos.front()));
  }
  TRY_VOID(all(devices.filesystems));
  TRY_VOID(all(devices.interfaces));
  TRY_VOID(all(devices.controllers));
  TRY_VOID(all(devices.disks));
  if (devices.memballoon) {
    TRY_VOID(f(*devices.memballoon));
  }
  TRY_VOID(all(devices.rngs));
  TRY_VOID(all(devices.watchdogs));
  TRY_VOID(all(devices.videos));
  TRY_VOID(all(devices.inputs));
  TRY_VOID(all(devices.serials));
  TRY_VOID(all(devices.panics));
  return all(devices.vsocks);
}

}  // namespace

Answer<void> assign_pci_addresses(DomainConfig& config) {
  PciSlots slots(config);
  Answer<void> result;
  each_device(config.devices, [&](auto& device) {
    if constexpr (std::is_base_of_v<DeviceInfo, std::remove_cvref_t<decltype(device)>>) {
      if (!result || !device.address) {
        return;
      }
      const auto* pci = std::get_if<PciAddress>(&*device.address);
      if (pci == nullptr && is_pci(device)) {
        result = call_error(VIR_ERR_XML_ERROR, "{}: its address must be of type 'pci'", element_of(Device(device)));
        return;
      }
      if (pci != nullptr && !is_pci(device)) {
        result = call_error(VIR_ERR_XML_ERROR, "{}: it is no PCI device, but has the PCI address {}",
                            element_of(Device(device)), to_string(*pci));
        return;
      }
      if (pci != nullptr) {
        result = slots.reserve(*pci);
      }
    }
  });
  TRY_VOID(result);
  return in_order(config.devices, [&](auto& device) -> Answer<void> {
    if (device.address || !is_pci(device)) {
      return {};
    }
    std::optional<PciAddress> usual;
    using T = std::remove_cvref_t<decltype(device)>;
    if constexpr (std::is_same_v<T, DomainVideo>) {
      usual = PciAddress{.slot = kVideoSlot};
    } else if constexpr (std::is_same_v<T, DomainController>) {
      if (device.type == ControllerType::ide) {
        usual = PciAddress{.slot = kChipset, .function = 1};
      } else if (is_piix_uhci(device)) {
        usual = kPiixUhciPlace;
      }
    }
    if (usual && slots.take_exactly(*usual)) {
      device.address = *usual;
      return {};
    }
    device.address = TRY(slots.take());
    return {};
  });
}

}  // namespace lodge
