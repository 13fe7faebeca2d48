// ACPI tables (ACPI 6.5): what a guest learns of its processors, interrupt routing, PCI windows, buttons and sleep states.
// Called by the machine on the control thread before boot; pure functions over an AcpiConfig, nothing is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/memory/guest_memory.h"
#include "base/result.h"
#include "base/units.h"
#include "vmm/boot/layout.h"

namespace lodge {

enum class AcpiMachine : uint8_t {
  microvm,  // hardware-reduced: no PM blocks, events through a generic event device
  pc,       // fixed hardware as PIIX4 has it
};

enum class AcpiSpace : uint8_t { memory = 0, io = 1 };

// A register in MMIO or I/O port space.
struct AcpiRegister {
  AcpiSpace space = AcpiSpace::io;
  uint64_t address = 0;
};

struct AcpiRange {
  uint64_t base = 0;
  uint64_t size = 0;
};

struct AcpiCpu {
  uint32_t x2apic_id = 0;  // topology.h
  uint32_t node = 0;       // index into AcpiConfig::nodes
  bool enabled = true;     // false: may be plugged later
};

struct AcpiNode {
  std::vector<AcpiRange> memory;
  std::vector<uint8_t> distances;  // one per node, 10 = local; empty: 10 and 20
};

struct AcpiSerial {
  uint16_t port = 0x3f8;
  uint8_t irq = 4;
};

struct AcpiParallel {
  uint16_t port = 0x378;
  uint8_t irq = 7;
};

// The high precision event timer's registers, and the lower half of its capabilities.
struct AcpiHpet {
  static constexpr uint32_t kSize = 1024;
  uint32_t base = 0;
  uint32_t id = 0;
};

// The microvm's registers. Sleep and reset are one byte wide; the event register is 32 bits wide and cleared by reading.
struct AcpiReduced {
  AcpiRegister sleep_control;  // guest writes (type << 2) | 0x20; type 5 is "off"
  AcpiRegister sleep_status;
  AcpiRegister reset;
  uint8_t reset_value = 1;
  AcpiRegister event;      // bit 0: power button; 1: news of PCI slots; 2: of processors; 3: another generation ID
  uint32_t event_gsi = 0;  // edge-triggered, active high
};

// The pc's fixed hardware, all in I/O port space.
struct AcpiFixed {
  uint16_t pm1a_event = 0x600;    // 4 bytes: status, enable
  uint16_t pm1a_control = 0x604;  // 2 bytes; S5 is sleep type 0
  uint16_t pm_timer = 0x608;      // 4 bytes, counts 32 bits
  uint16_t gpe0 = 0xafe0;         // status and enable halves
  uint8_t gpe0_length = 4;        // event 1: news of PCI slots; 2: of processors; 3: another generation ID
  uint8_t sci = 9;                // level-triggered, active high at the IOAPIC
  uint8_t timer_gsi = 2;          // where the PIT's interrupt 0 arrives at the IOAPIC
  uint16_t smi_command = 0xb2;
  uint8_t acpi_enable = 0xf1;  // written to smi_command
  uint8_t acpi_disable = 0xf0;
  bool i8042 = true;
  bool vga = true;
  bool rtc = true;
  AcpiRegister reset{AcpiSpace::io, 0xcf9};
  uint8_t reset_value = 6;
  bool floppy = false;
};

// A page in which the virtual machine generation ID lies, with zeros before it: firmware takes what a pointer points to for
// a table otherwise. Without firmware it is at kGenerationIdPage.
struct AcpiGenerationId {
  static constexpr uint64_t kOffset = 40;
  const char* file = "etc/vmgenid_guid";          // as firmware gets it,
  const char* address_file = "etc/vmgenid_addr";  // and where it says where it put the ID
};

// Registers of processors that come and go (devices/legacy/cpu_hotplug/device.h): doublewords.
inline constexpr uint64_t kCpuHotplugSize = 0x18;

// PCI functions that come and go (devices/pci/hotplug.h).
struct AcpiHotplug {
  static constexpr uint64_t kSize = 16;  // doublewords: up, down, eject; bytes: event, status, slot
  AcpiRegister registers;
  uint32_t first_slot = 1;  // from here to 31
};

struct AcpiPci {
  uint8_t last_bus = 255;
  AcpiRange ecam;             // size 0: ports 0xcf8/0xcfc only; else 1 MiB per bus
  AcpiRange window32;         // below 4 GiB
  AcpiRange window64;         // size 0: none
  std::vector<AcpiRange> io;  // windows of I/O ports; at pc without 0xcf8..0xcff
  uint32_t first_slot = 0;    // slots that get interrupt routes
  uint32_t slots = 32;
  std::function<uint32_t(uint32_t slot, uint32_t pin)> gsi;  // pin 0 = INTA; empty: 16 + (slot + pin) % 8
  std::optional<AcpiHotplug> hotplug;
};

struct AcpiConfig {
  AcpiMachine machine = AcpiMachine::microvm;
  std::vector<AcpiCpu> cpus;                // all that are possible
  std::optional<AcpiRegister> cpu_hotplug;  // without: none comes or goes
  std::vector<AcpiNode> nodes;              // empty or one: no SRAT and SLIT
  AcpiReduced reduced;                      // microvm
  AcpiFixed fixed;                          // pc
  std::optional<AcpiPci> pci;
  std::vector<AcpiSerial> serial;
  std::vector<AcpiParallel> parallel;
  std::optional<AcpiHpet> hpet;
  std::optional<uint16_t> panic_port;  // pvpanic
  std::optional<uint16_t> fw_cfg_port;
  std::optional<AcpiGenerationId> generation_id;
  uint32_t ioapic_gsi_base = 0;
};

struct AcpiTable {
  std::string signature;
  Gpa at;
  std::vector<std::byte> bytes;
};

struct AcpiImage {
  std::vector<AcpiTable> tables;  // RSDP first
  Gpa rsdp;
  uint64_t high_base = 0;  // when the tables do not fit below 1 MiB: the range at the top of low RAM, for the e820 map
  uint64_t high_size = 0;
};

// The same tables for firmware, which puts them where it likes: it allocates the files, adds their addresses to the offsets
// that stand where pointers belong, and fills in checksums, as the list of commands says (fw_cfg's "table loader").
struct AcpiFiles {
  static constexpr const char* kTables = "etc/acpi/tables";
  static constexpr const char* kRsdp = "etc/acpi/rsdp";
  static constexpr const char* kLoader = "etc/table-loader";
  std::vector<std::byte> tables;
  std::vector<std::byte> rsdp;
  std::vector<std::byte> loader;
};
[[nodiscard]] Result<AcpiFiles> build_acpi_files(const AcpiConfig& config);

// `low_ram_end`: layout.h's low_ram_end(ram size).
[[nodiscard]] Result<AcpiImage> build_acpi(const AcpiConfig& config, uint64_t low_ram_end);
[[nodiscard]] Result<void> write_acpi(const GuestMemory& memory, const AcpiImage& image);

}  // namespace lodge
