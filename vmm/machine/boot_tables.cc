#include "vmm/machine/boot_tables.h"

#include <algorithm>
#include <map>

#include "base/uuid.h"
#include "vmm/boot/layout.h"
#include "vmm/config/complete.h"

namespace lodge {
namespace {

constexpr uint32_t kNeverReboot = UINT32_MAX;  // etc/boot-fail-wait
constexpr uint16_t kFirstSerialPort = 0x3F8;
constexpr size_t kSetupSectorsAt = 0x1F1;  // Linux: how much of a bzImage is its real-mode part
constexpr size_t kSector = 512;

std::vector<std::byte> bytes_with_end(std::string_view text) {
  const auto bytes = bytes_of(text);
  std::vector<std::byte> out(bytes.begin(), bytes.end());
  out.push_back(std::byte{0});
  return out;
}

// RAM only: firmware knows itself what it takes of it.
std::vector<std::byte> memory_map(uint64_t ram_size) {
  std::vector<std::byte> out;
  const auto put = [&out](uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      out.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
  };
  constexpr uint32_t kRam = 1;
  for (const GuestMemory::Range& range : ram_ranges(ram_size)) {
    put(range.base.value, 8);
    put(range.size, 8);
    put(kRam, 4);
  }
  return out;
}

// A kernel in the pieces in which firmware reads it.
void add_kernel(FwCfgItems& items, const MachineConfig& config, const FirmwareExtras& extras) {
  if (extras.kernel.size() <= kSetupSectorsAt) {
    return;
  }
  const auto sectors = std::to_integer<size_t>(extras.kernel[kSetupSectorsAt]);
  const size_t setup = std::min(((sectors != 0 ? sectors : 4) + 1) * kSector, extras.kernel.size());
  items.set_number(fw_cfg::kSetupSize, setup, 4);
  items.set_view(fw_cfg::kSetupData, extras.kernel.first(setup));
  items.set_number(fw_cfg::kKernelSize, extras.kernel.size() - setup, 4);
  items.set_view(fw_cfg::kKernelData, extras.kernel.subspan(setup));
  items.set_number(fw_cfg::kInitrdSize, extras.initrd.size(), 4);
  items.set_view(fw_cfg::kInitrdData, extras.initrd);
  items.set_number(fw_cfg::kCommandLineSize, config.boot.command_line.size() + 1, 4);
  items.set_text(fw_cfg::kCommandLineData, config.boot.command_line);
}

}  // namespace

SmbiosConfig smbios_config(const MachineConfig& config, const Topology& topology) {
  SmbiosConfig smbios;
  smbios.uuid = parse_guid(config.smbios.uuid).value_or(Uuid{});
  smbios.ram_size = config.memory.size_mib * kMiB;
  smbios.sockets = topology.sockets;
  smbios.cores_per_socket = topology.dies * topology.cores;
  smbios.threads_per_socket = topology.dies * topology.cores * topology.threads;
  if (!config.smbios.manufacturer.empty()) {
    smbios.manufacturer = config.smbios.manufacturer;
  }
  if (!config.smbios.product.empty()) {
    smbios.product = config.smbios.product;
  }
  smbios.serial = config.smbios.serial;
  return smbios;
}

namespace {

// As firmware names what can be booted.
std::string boot_path(const DiskSettings& disk, const UsbSettings& usb) {
  if (disk.bus == "ide") {
    return fmt::format("/pci@i0cf8/ide@1,1/drive@{}/disk@{}", disk.channel - 1, disk.unit - 1);
  }
  if (disk.bus == "usb") {
    const std::string_view function = usb.model == UsbModel::piix3_uhci ? ",2" : "";
    return fmt::format("/pci@i0cf8/usb@{:x}{}/storage@{:x}/channel@0/disk@0,0", usb_slot(usb), function, disk.port);
  }
  if (disk.bus == "fdc") {
    return fmt::format("/pci@i0cf8/isa@1/fdc@03f0/floppy@{}", disk.unit - 1);
  }
  return fmt::format("/pci@i0cf8/scsi@{:x}/disk@0,0", disk.slot);
}

}  // namespace

std::string boot_order(const MachineConfig& config) {
  std::multimap<uint32_t, std::string> devices;  // those with the same place stay in order
  for (const DiskSettings& disk : config.disks) {
    if (disk.boot != 0) {
      devices.emplace(disk.boot, boot_path(disk, config.usb));
    }
  }
  for (const NetSettings& net : config.nets) {
    if (net.boot != 0) {
      devices.emplace(net.boot, fmt::format("/pci@i0cf8/ethernet@{:x}/ethernet-phy@0", net.slot));
    }
  }
  std::string lines;
  for (const auto& [place, path] : devices) {
    lines += path + '\n';
  }
  return lines;
}

Result<FwCfgItems> firmware_items(const MachineConfig& config, const Topology& topology, const AcpiConfig& acpi,
                                  const FirmwareExtras& extras) {
  const FirmwareSettings& firmware = config.firmware;
  const uint64_t ram = config.memory.size_mib * kMiB;
  FwCfgItems items;
  const SmbiosConfig system = smbios_config(config, topology);
  const auto uuid = std::as_bytes(std::span(system.uuid));
  items.set(fw_cfg::kUuid, {uuid.begin(), uuid.end()});
  items.set_number(fw_cfg::kRamSize, ram, 8);
  items.set_number(fw_cfg::kNoGraphic, firmware.serial ? 1 : 0, 2);
  items.set_number(fw_cfg::kCpus, config.cpu.present.empty() ? config.cpu.count : config.cpu.present.size(), 2);
  items.set_number(fw_cfg::kMaxCpus, possible_cpus(config.cpu), 2);
  items.set_number(fw_cfg::kBootMenu, firmware.menu ? 1 : 0, 2);
  items.set_number(fw_cfg::kIrq0Override, 1, 4);
  items.add_file("etc/e820", memory_map(ram));

  AcpiFiles tables = TRY_CONTEXT(build_acpi_files(acpi), "ACPI tables");
  items.add_file(AcpiFiles::kTables, std::move(tables.tables));
  items.add_file(AcpiFiles::kRsdp, std::move(tables.rsdp));
  items.add_file(AcpiFiles::kLoader, std::move(tables.loader));
  SmbiosImage smbios = TRY_CONTEXT(build_smbios(system), "SMBIOS tables");
  items.add_file("etc/smbios/smbios-anchor", {smbios.entry32.begin(), smbios.entry32.end()});
  items.add_file("etc/smbios/smbios-tables", std::move(smbios.table));

  if (const std::string order = boot_order(config); !order.empty()) {
    items.add_file("bootorder", bytes_with_end(order + "HALT"));  // nothing else is tried
  }
  if (firmware.menu && firmware.menu_wait_ms != 0) {
    items.add_number_file("etc/boot-menu-wait", firmware.menu_wait_ms, 4);
  }
  items.add_number_file("etc/boot-fail-wait", firmware.reboot_wait_ms != 0 ? firmware.reboot_wait_ms : kNeverReboot, 4);
  if (firmware.serial) {
    items.add_number_file("etc/sercon-port", kFirstSerialPort, 2);
  }
  for (const FirmwareFile& file : extras.files) {
    items.add_file(file.name, file.bytes);
  }
  if (extras.generation_id != nullptr) {
    std::vector<std::byte> page(VmGenId::kIdFileSize);
    std::ranges::copy(std::as_bytes(std::span(extras.generation_id->generation())), page.begin() + VmGenId::kIdOffset);
    items.add_file(VmGenId::kIdFile, std::move(page));
    items.add_file(VmGenId::kAddressFile, *extras.generation_id);
  }
  if (extras.vmcoreinfo != nullptr) {
    items.add_file(VmCoreInfo::kFile, *extras.vmcoreinfo);
  }
  add_kernel(items, config, extras);
  return items;
}

FwCfgItems kernel_items(VmCoreInfo* vmcoreinfo) {
  FwCfgItems items;
  if (vmcoreinfo != nullptr) {
    items.add_file(VmCoreInfo::kFile, *vmcoreinfo);
  }
  return items;
}

}  // namespace lodge
