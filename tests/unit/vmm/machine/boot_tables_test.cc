// What firmware is told of its machine.
#include "vmm/machine/boot_tables.h"

#include <catch2/catch.hpp>

#include "tests/support/test_machine.h"
#include "vmm/config/complete.h"

namespace lodge {
namespace {

MachineConfig pc() {
  MachineConfig config;
  config.machine = MachineKind::pc;
  config.firmware.kind = FirmwareKind::bios;
  config.memory.size_mib = 4096;
  return config;
}

AcpiConfig acpi() {
  AcpiConfig config;
  config.machine = AcpiMachine::pc;
  config.cpus.push_back({});
  return config;
}

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};  // SAFETY: bytes as char
}

// A file by its name in the directory.
std::string file(const FwCfgItems& items, std::string_view name) {
  const std::string directory = text(items.find(fw_cfg::kDirectory));
  for (size_t at = 4; at + 64 <= directory.size(); at += 64) {
    if (std::string_view(directory.c_str() + at + 8) == name) {
      const auto key =
          static_cast<uint16_t>(static_cast<uint8_t>(directory[at + 4]) << 8 | static_cast<uint8_t>(directory[at + 5]));
      return text(items.find(key));
    }
  }
  return "(none)";
}

}  // namespace

TEST_CASE("firmware finds memory, tables and settings") {
  const MachineConfig config = pc();
  FirmwareExtras extras;
  extras.files.push_back({"pci1af4,1000.rom", std::vector<std::byte>(512)});
  auto items = firmware_items(config, default_topology(1), acpi(), extras);
  REQUIRE(items);
  items->finish();
  CHECK(load_le<uint64_t>(items->find(fw_cfg::kRamSize)) == 4 * kGiB);
  const std::string map = file(*items, "etc/e820");
  CHECK(map.size() == 40);  // below and above 4 GiB
  CHECK(file(*items, "etc/table-loader").size() % 128 == 0);
  CHECK(file(*items, "etc/acpi/rsdp").size() == 36);
  CHECK(file(*items, "etc/smbios/smbios-anchor").starts_with("_SM_"));
  CHECK(file(*items, "etc/boot-fail-wait") == "\xFF\xFF\xFF\xFF");
  CHECK(file(*items, "etc/sercon-port") == "(none)");
  CHECK(file(*items, "bootorder") == "(none)");
  CHECK(file(*items, "pci1af4,1000.rom").size() == 512);
}

TEST_CASE("firmware is given the generation ID's page, and files that the guest writes") {
  test::TestMachine machine;
  const auto id = test::must(VmGenId::create({.id = {7, 8, 9}, .announce = {}}, *machine.env, nullptr));
  const auto notes = test::must(VmCoreInfo::create(*machine.env, nullptr));
  FirmwareExtras extras;
  extras.generation_id = id.get();
  extras.vmcoreinfo = notes.get();
  auto items = firmware_items(pc(), default_topology(1), acpi(), extras);
  REQUIRE(items);
  items->finish();
  const std::string page = file(*items, "etc/vmgenid_guid");
  REQUIRE(page.size() == 4096);
  CHECK(page.substr(0, 44) == std::string(40, '\0') + std::string("\7\10\11\0", 4));
  CHECK(file(*items, "etc/vmgenid_addr").empty());  // it is there, and kept elsewhere
  CHECK(file(*items, "etc/vmcoreinfo").empty());
  auto bare = kernel_items(notes.get());
  bare.finish();
  CHECK(file(bare, "etc/vmcoreinfo").empty());
  CHECK(file(bare, "etc/vmgenid_addr") == "(none)");
}

TEST_CASE("the boot order names devices as firmware does, and nothing else is tried") {
  MachineConfig config = pc();
  config.firmware.serial = true;
  config.firmware.menu = true;
  config.firmware.menu_wait_ms = 3000;
  config.firmware.reboot_wait_ms = 500;
  config.disks.resize(6);
  config.disks[0].boot = 3;
  config.disks[1].bus = config.disks[2].bus = "ide";
  config.disks[1].boot = 1;
  config.disks[2].device = DiskDevice::cdrom;
  config.disks[2].boot = 2;
  config.disks[4].bus = "fdc";
  config.disks[4].device = DiskDevice::floppy;
  config.disks[4].boot = 5;
  config.disks[5].bus = "usb";
  config.disks[5].port = 3;
  config.disks[5].boot = 6;
  config.nets.resize(1);
  config.nets[0].boot = 4;
  REQUIRE(complete(config));
  auto items = firmware_items(config, default_topology(1), acpi(), {});
  REQUIRE(items);
  items->finish();
  CHECK(file(*items, "bootorder") ==
        std::string("/pci@i0cf8/ide@1,1/drive@0/disk@0\n/pci@i0cf8/ide@1,1/drive@1/disk@0\n"
                    "/pci@i0cf8/scsi@4/disk@0,0\n/pci@i0cf8/ethernet@3/ethernet-phy@0\n"
                    "/pci@i0cf8/isa@1/fdc@03f0/floppy@0\n/pci@i0cf8/usb@2/storage@3/channel@0/disk@0,0\nHALT") +
            '\0');
  CHECK(file(*items, "etc/sercon-port") == std::string("\xF8\x03", 2));
  CHECK(file(*items, "etc/boot-menu-wait") == std::string("\xB8\x0B\0\0", 4));
  CHECK(file(*items, "etc/boot-fail-wait") == std::string("\xF4\x01\0\0", 4));
}

TEST_CASE("a kernel besides firmware is offered in its two parts") {
  MachineConfig config = pc();
  config.boot.command_line = "quiet";
  std::vector<std::byte> kernel(8192, std::byte{7});
  kernel[0x1F1] = std::byte{3};
  FirmwareExtras extras;
  extras.kernel = kernel;
  auto items = firmware_items(config, default_topology(1), acpi(), extras);
  REQUIRE(items);
  CHECK(items->find(fw_cfg::kSetupData).size() == 2048);
  CHECK(items->find(fw_cfg::kKernelData).size() == 6144);
  CHECK(text(items->find(fw_cfg::kCommandLineData)) == std::string("quiet\0", 6));
  extras.kernel = std::span(kernel).first(100);  // no kernel
  items = firmware_items(config, default_topology(1), acpi(), extras);
  REQUIRE(items);
  CHECK(items->find(fw_cfg::kKernelData).empty());
}

}  // namespace lodge
