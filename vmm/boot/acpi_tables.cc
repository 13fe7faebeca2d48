// The ACPI tables with a fixed format (ACPI 6.5 chapter 5; MCFG: PCI firmware specification 3.3).
#include <algorithm>
#include <cassert>
#include <set>

#include "vmm/boot/acpi_parts.h"

namespace lodge::acpi {
namespace {

constexpr std::string_view kOem = "LODGE";
constexpr std::string_view kOemTable = "LODGEVM";
constexpr uint32_t kFirstX2ApicOnlyId = 255;  // 255 is the broadcast id of an xAPIC

// FADT flags (table 5.10).
constexpr uint32_t kWbinvd = 1U << 0;
constexpr uint32_t kC1 = 1U << 2;
constexpr uint32_t kPowerButtonIsDevice = 1U << 4;
constexpr uint32_t kSleepButtonIsDevice = 1U << 5;
constexpr uint32_t kRtcWakeNotFixed = 1U << 6;
constexpr uint32_t kTimer32Bits = 1U << 8;
constexpr uint32_t kResetRegister = 1U << 10;
constexpr uint32_t kHardwareReduced = 1U << 20;
// FADT boot architecture flags (table 5.11).
constexpr uint32_t kLegacyDevices = 1U << 0;
constexpr uint32_t k8042 = 1U << 1;
constexpr uint32_t kNoVga = 1U << 2;
constexpr uint32_t kNoRtc = 1U << 5;

constexpr uint32_t kEnabled = 1;
constexpr uint32_t kOnlineCapable = 2;
constexpr uint32_t kLevelActiveHigh = 0x0d;

// Generic address structure (5.2.3.2).
void address(Writer& out, AcpiSpace space, uint64_t at, unsigned bytes) {
  const unsigned access = bytes == 1 ? 1 : bytes == 2 ? 2 : 3;
  out.u8(at == 0 ? 0 : static_cast<uint8_t>(space)).u8(at == 0 ? 0 : bytes * 8).u8(0).u8(at == 0 ? 0 : access).u64(at);
}

void address(Writer& out, const AcpiRegister& where, unsigned bytes) { address(out, where.space, where.address, bytes); }

// No room for its ids in the older, shorter entry.
bool x2apic_only(size_t index, const AcpiCpu& cpu) { return cpu.x2apic_id >= kFirstX2ApicOnlyId || index >= 255; }

void override(Writer& out, uint32_t irq, uint32_t gsi, uint32_t flags) {
  out.u8(2).u8(10).u8(0).u8(irq).u32(gsi).u16(flags);
}

}  // namespace

Writer& Writer::put(uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) {
    out_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
  return *this;
}

Writer& Writer::text(std::string_view value, size_t width, char pad) {
  for (size_t i = 0; i < width; ++i) {
    put(static_cast<unsigned char>(i < value.size() ? value[i] : pad), 1);
  }
  return *this;
}

Writer& Writer::bytes(const Bytes& value) {
  out_.insert(out_.end(), value.begin(), value.end());
  return *this;
}

Writer& Writer::zeros(size_t count) {
  out_.insert(out_.end(), count, std::byte{0});
  return *this;
}

uint8_t checksum(std::span<const std::byte> data) {
  unsigned sum = 0;
  for (const std::byte b : data) {
    sum += std::to_integer<unsigned>(b);
  }
  return static_cast<uint8_t>(0x100 - (sum & 0xff));
}

Bytes table(std::string_view signature, uint8_t revision, const Bytes& body) {
  constexpr size_t kChecksumAt = 9;
  Writer out;
  out.text(signature, 4, ' ').u32(kHeaderSize + body.size()).u8(revision).u8(0);
  out.text(kOem, 6, ' ').text(kOemTable, 8, ' ').u32(1).text("LODG", 4, ' ').u32(1);
  out.bytes(body);
  Bytes bytes = out.take();
  bytes[kChecksumAt] = std::byte{checksum(bytes)};
  return bytes;
}

uint32_t pci_gsi(const AcpiPci& pci, uint32_t slot, uint32_t pin) {
  return pci.gsi ? pci.gsi(slot, pin) : 16 + (slot + pin) % 8;
}

Bytes fadt(const AcpiConfig& config, uint64_t dsdt_at, uint64_t facs_at) {
  const bool reduced = config.machine == AcpiMachine::microvm;
  const AcpiFixed& fixed = config.fixed;
  const AcpiFixed none{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, false, false, {}, 0};
  const AcpiFixed& pm = reduced ? none : fixed;
  const auto length = [reduced](unsigned bytes) { return reduced ? 0 : bytes; };
  uint32_t boot = kNoVga | kNoRtc;
  uint32_t flags = kWbinvd | kC1 | kSleepButtonIsDevice | kRtcWakeNotFixed | kResetRegister;
  if (reduced) {
    flags |= kHardwareReduced | kPowerButtonIsDevice;
  } else {
    flags |= kTimer32Bits;
    boot = kLegacyDevices | (fixed.i8042 ? k8042 : 0) | (fixed.vga ? 0 : kNoVga) | (fixed.rtc ? 0 : kNoRtc);
  }
  Writer out;
  out.u32(facs_at)
      .u32(dsdt_at)
      .u8(0)
      .u8(0)
      .u16(pm.sci)
      .u32(pm.smi_command)
      .u8(pm.acpi_enable)
      .u8(pm.acpi_disable)
      .u8(0)
      .u8(0);
  out.u32(pm.pm1a_event).u32(0).u32(pm.pm1a_control).u32(0).u32(0).u32(pm.pm_timer).u32(pm.gpe0).u32(0);
  out.u8(length(4)).u8(length(2)).u8(0).u8(length(4)).u8(pm.gpe0_length).u8(0).u8(0).u8(0);
  out.u16(0xfff).u16(0xfff).u16(0).u16(0).u8(0).u8(0);  // no C2, C3, flush by WBINVD
  out.u8(0).u8(0).u8(pm.rtc ? 0x32 : 0).u16(boot).u8(0).u32(flags);
  address(out, reduced ? config.reduced.reset : fixed.reset, 1);
  out.u8(reduced ? config.reduced.reset_value : fixed.reset_value).u16(0).u8(5);
  out.u64(0).u64(dsdt_at);  // the FACS stands in the 32-bit field: only one of the two may be set
  address(out, AcpiSpace::io, pm.pm1a_event, 4);
  address(out, AcpiSpace::io, 0, 4);
  address(out, AcpiSpace::io, pm.pm1a_control, 2);
  address(out, AcpiSpace::io, 0, 2);
  address(out, AcpiSpace::io, 0, 1);
  address(out, AcpiSpace::io, pm.pm_timer, 4);
  address(out, AcpiSpace::io, pm.gpe0, pm.gpe0_length);
  address(out, AcpiSpace::io, 0, 1);
  address(out, reduced ? config.reduced.sleep_control : AcpiRegister{}, 1);
  address(out, reduced ? config.reduced.sleep_status : AcpiRegister{}, 1);
  out.text("LODGE", 8, '\0');
  return table("FACP", 6, out.take());
}

Bytes facs() {
  Writer out;
  out.text("FACS", 4, ' ').u32(64).zeros(24).u8(2).zeros(31);
  return out.take();
}

Bytes madt_processor(size_t index, const AcpiCpu& cpu, bool enabled) {
  const uint32_t flags = enabled ? kEnabled : kOnlineCapable;
  Writer out;
  if (x2apic_only(index, cpu)) {
    out.u8(9).u8(16).u16(0).u32(cpu.x2apic_id).u32(flags).u32(index);
  } else {
    out.u8(0).u8(8).u8(index).u8(cpu.x2apic_id).u32(flags);
  }
  return out.take();
}

Bytes madt(const AcpiConfig& config) {
  Writer out;
  const bool pc = config.machine == AcpiMachine::pc;
  out.u32(kLocalApicBase.value).u32(pc ? 1 : 0);
  bool x2apic = false;
  for (size_t i = 0; i < config.cpus.size(); ++i) {
    out.bytes(madt_processor(i, config.cpus[i], config.cpus[i].enabled));
    x2apic = x2apic || x2apic_only(i, config.cpus[i]);
  }
  out.u8(1).u8(12).u8(0).u8(0).u32(kIoApicBase.value).u32(config.ioapic_gsi_base);
  if (pc) {
    if (config.fixed.timer_gsi != 0) {
      override(out, 0, config.fixed.timer_gsi, 0);
    }
    std::set<uint32_t> level{config.fixed.sci};
    if (config.pci) {
      for (uint32_t slot = 0; slot < config.pci->slots; ++slot) {
        for (uint32_t pin = 0; pin < 4; ++pin) {
          level.insert(pci_gsi(*config.pci, config.pci->first_slot + slot, pin));
        }
      }
    }
    for (const uint32_t gsi : level) {
      if (gsi < 16) {
        override(out, gsi, gsi, kLevelActiveHigh);
      }
    }
  }
  out.u8(4).u8(6).u8(0xff).u16(0).u8(1);  // NMI at LINT1 of all processors
  if (x2apic) {
    out.u8(10).u8(12).u16(0).u32(0xffffffff).u8(1).zeros(3);
  }
  return table("APIC", 5, out.take());
}

Bytes mcfg(const AcpiPci& pci) {
  Writer out;
  out.u64(0).u64(pci.ecam.base).u16(0).u8(0).u8(pci.last_bus).u32(0);
  return table("MCFG", 1, out.take());
}

Bytes srat(const AcpiConfig& config) {
  Writer out;
  out.u32(1).u64(0);
  for (size_t i = 0; i < config.cpus.size(); ++i) {
    const AcpiCpu& cpu = config.cpus[i];
    if (cpu.x2apic_id < kFirstX2ApicOnlyId && cpu.node < 255) {
      out.u8(0).u8(16).u8(cpu.node).u8(cpu.x2apic_id).u32(kEnabled).u8(0).zeros(3).u32(0);
    } else {
      out.u8(2).u8(24).u16(0).u32(cpu.node).u32(cpu.x2apic_id).u32(kEnabled).u32(0).u32(0);
    }
  }
  for (size_t node = 0; node < config.nodes.size(); ++node) {
    for (const AcpiRange& range : config.nodes[node].memory) {
      out.u8(1).u8(40).u32(node).u16(0).u64(range.base).u64(range.size).u32(0).u32(kEnabled).u64(0);
    }
  }
  return table("SRAT", 3, out.take());
}

Bytes slit(const AcpiConfig& config) {
  constexpr uint8_t kLocal = 10;
  constexpr uint8_t kRemote = 20;
  Writer out;
  out.u64(config.nodes.size());
  for (size_t from = 0; from < config.nodes.size(); ++from) {
    const auto& given = config.nodes[from].distances;
    for (size_t to = 0; to < config.nodes.size(); ++to) {
      out.u8(to < given.size() ? given[to] : from == to ? kLocal : kRemote);
    }
  }
  return table("SLIT", 1, out.take());
}

// Windows: the PM timer needs one read only.
Bytes waet() { return table("WAET", 1, Writer().u32(2).take()); }

// IA-PC HPET specification 1.0a, 3.2.4.
Bytes hpet(const AcpiHpet& timer) {
  Writer out;
  out.u32(timer.id);
  out.u8(0).u8(64).u8(0).u8(0).u64(timer.base);  // in memory
  constexpr uint64_t kLeastTicks = 128;          // between two interrupts of a periodic timer
  out.u8(0).u16(kLeastTicks).u8(0);
  return table("HPET", 1, out.take());
}

Bytes xsdt(const std::vector<uint64_t>& addresses) {
  Writer out;
  for (const uint64_t at : addresses) {
    out.u64(at);
  }
  return table("XSDT", 1, out.take());
}

Bytes rsdt(const std::vector<uint64_t>& addresses) {
  Writer out;
  for (const uint64_t at : addresses) {
    out.u32(at);
  }
  return table("RSDT", 1, out.take());
}

Bytes rsdp(uint64_t rsdt_at, uint64_t xsdt_at) {
  constexpr size_t kFirstPart = 20;  // what revision 0 had, with a checksum of its own
  Writer out;
  out.text("RSD PTR ", 8, ' ').u8(0).text(kOem, 6, ' ').u8(2).u32(rsdt_at).u32(36).u64(xsdt_at).u8(0).zeros(3);
  Bytes bytes = out.take();
  bytes[8] = std::byte{checksum(std::span(bytes).first(kFirstPart))};
  bytes[32] = std::byte{checksum(bytes)};
  return bytes;
}

}  // namespace lodge::acpi
