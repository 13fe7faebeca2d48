// What a guest is told of its machine at the start, from its configuration: SMBIOS's settings, and for firmware everything
// that fw_cfg offers. Pure but for the option ROMs, which are read; on control.
#pragma once

#include "devices/legacy/fw_cfg/device.h"
#include "devices/legacy/vmcoreinfo/device.h"
#include "devices/legacy/vmgenid/device.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/smbios.h"
#include "vmm/config/machine_config.h"
#include "vmm/cpu/topology.h"

namespace lodge {

[[nodiscard]] SmbiosConfig smbios_config(const MachineConfig& config, const Topology& topology);

// A file that firmware finds by its name.
struct FirmwareFile {
  std::string name;
  std::vector<std::byte> bytes;
};
// What firmware is given besides the configuration. The spans outlive the machine.
struct FirmwareExtras {
  std::span<const std::byte> kernel;
  std::span<const std::byte> initrd;
  std::vector<FirmwareFile> files;
  VmGenId* generation_id = nullptr;  // null: there is none, as below
  VmCoreInfo* vmcoreinfo = nullptr;
};
[[nodiscard]] Result<FwCfgItems> firmware_items(const MachineConfig& config, const Topology& topology,
                                                const AcpiConfig& acpi, const FirmwareExtras& extras);

// What fw_cfg offers where a kernel is started directly.
[[nodiscard]] FwCfgItems kernel_items(VmCoreInfo* vmcoreinfo);

// Devices with a place in the boot order, first to last, as firmware names them: one line each. Empty: none has one.
[[nodiscard]] std::string boot_order(const MachineConfig& config);

}  // namespace lodge
