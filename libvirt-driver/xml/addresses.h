// Addresses of devices: given ones are reserved, the others get the first that are free. For complete().
#pragma once

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_defaults.h"

namespace lodge {

// Each in its own kind: drive, virtio-serial and USB addresses may add controllers, which PCI addresses then place.
[[nodiscard]] Answer<void> assign_drive_addresses(DomainConfig& config);
[[nodiscard]] Answer<void> assign_serial_ports(DomainConfig& config);
[[nodiscard]] Answer<void> assign_usb_ports(DomainConfig& config);
[[nodiscard]] Answer<void> assign_pci_addresses(DomainConfig& config);

// A USB controller that is a part of the chipset, and where it is then.
[[nodiscard]] bool is_piix_uhci(const DomainController& controller);
inline constexpr PciAddress kPiixUhciPlace{.slot = 1, .function = 2};

// The controller, or nullptr.
[[nodiscard]] DomainController* find_controller(DomainConfig& config, ControllerType type, uint32_t index);
// The controller, made if it was not there.
DomainController& want_controller(DomainConfig& config, ControllerType type, uint32_t index);

}  // namespace lodge
