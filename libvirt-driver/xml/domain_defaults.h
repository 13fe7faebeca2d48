// What libvirt fills in when a domain is defined, checks, and edits of devices. Pure functions, any thread; only complete()
// asks the system, for random numbers.
//
// A definition goes: parse_domain(), complete(), check(). An edit goes: add_device() and so on, complete(), check().
#pragma once

#include <functional>
#include <span>
#include <string>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

struct Defaults {
  std::string machine = "lodge";  // for <type> without machine
  // The name a machine is kept under ("lodge" -> "lodge-1.0"); none: as given.
  std::function<std::string(const std::string&)> canonical_machine;
  std::string emulator;
  std::string pci_root = "pci-root";  // or "pcie-root"
  std::string usb_model = "qemu-xhci";
  std::string scsi_model = "virtio-scsi";
  std::string interface_model = "virtio";
  VideoModel video = VideoModel::vga;
  // The image format of a disk that has a medium and no <driver type=>; "" or none: leave it open.
  std::function<std::string(const DomainDisk&)> format_of;
  // Fills with random bytes; none: getrandom().
  std::function<void(std::span<uint8_t>)> random;
};

// UUID, MAC addresses, machine, emulator, implied devices and controllers, addresses. What is given stays; doing it twice
// changes nothing. Errors: VIR_ERR_XML_ERROR, addresses that collide; VIR_ERR_CONFIG_UNSUPPORTED, no address left.
[[nodiscard]] Answer<void> complete(DomainConfig& config, const Defaults& host);

// Does the whole make sense? Errors name what is wrong, in libvirt's words where it has some.
[[nodiscard]] Answer<void> check(const DomainConfig& config);

// For a domain that starts, or after devices were added to a running one: libvirt's names for devices that have none.
void assign_aliases(DomainConfig& config);

// The new device has no address or alias yet unless it was given with one. Errors: VIR_ERR_OPERATION_INVALID, it is there
// already ("target vdb already exists"); VIR_ERR_OPERATION_UNSUPPORTED, such a device cannot be added.
[[nodiscard]] Answer<void> add_device(DomainConfig& config, Device device);

// Disks match by target, interfaces by MAC and address, others by alias, address and kind; what is not given matches all.
// Errors: VIR_ERR_DEVICE_MISSING; VIR_ERR_OPERATION_FAILED, several match.
[[nodiscard]] Answer<void> remove_device(DomainConfig& config, const Device& device);

// In place of the one that matches, which leaves its address, alias and boot order unless new ones are given.
[[nodiscard]] Answer<void> update_device(DomainConfig& config, const Device& device);

// The device that matches, as it stands in the domain. Errors as of remove_device().
[[nodiscard]] Answer<Device> find_device(const DomainConfig& config, const Device& device);
// VIR_ERR_DEVICE_MISSING: "no device found with alias net7".
[[nodiscard]] Answer<Device> find_alias(const DomainConfig& config, std::string_view alias);

// 0 for "vda", 26 for "vdaa"; nullopt: no name of a disk.
[[nodiscard]] std::optional<uint32_t> disk_index(std::string_view target);

}  // namespace lodge
