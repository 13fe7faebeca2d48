// The DSDT: the namespace of devices, as AML.
#include <fmt/core.h>

#include "vmm/boot/acpi_parts.h"
#include "vmm/boot/aml.h"

namespace lodge::acpi {
namespace {

using namespace lodge::aml;  // NOLINT(google-build-using-namespace): this file is one AML program

constexpr uint64_t kNotifyPressed = 0x80;

aml::Bytes interrupt_routes(const AcpiPci& pci) {
  std::vector<aml::Bytes> routes;
  for (uint32_t i = 0; i < pci.slots && routes.size() + 4 <= 255; ++i) {
    const uint32_t slot = pci.first_slot + i;
    for (uint32_t pin = 0; pin < 4; ++pin) {
      routes.push_back(
          package({integer(uint64_t{slot} << 16 | 0xffff), integer(pin), integer(0), integer(pci_gsi(pci, slot, pin))}));
    }
  }
  return package(routes);
}

aml::Bytes host_bridge_windows(const AcpiPci& pci) {
  aml::Bytes out = bus_range(0, pci.last_bus);
  const bool has_ports = pci.ecam.size == 0;
  if (has_ports) {
    append(out, io_ports(0xcf8, 8));
  }
  for (const AcpiRange& io : pci.io) {
    append(out, io_window(static_cast<uint16_t>(io.base), static_cast<uint16_t>(io.base + io.size - 1)));
  }
  if (pci.window32.size != 0) {
    append(out, memory_window32(static_cast<uint32_t>(pci.window32.base),
                                static_cast<uint32_t>(pci.window32.base + pci.window32.size - 1)));
  }
  if (pci.window64.size != 0) {
    append(out, memory_window64(pci.window64.base, pci.window64.base + pci.window64.size - 1));
  }
  return resources(out);
}

// Grants what PCI Express features the system asks for, hot-plug by SHPC apart (PCI firmware specification 3.3, 4.5.1).
aml::Bytes operating_system_capabilities() {
  constexpr uint64_t kGranted = 0x1d;
  constexpr uint64_t kUnknownRevision = 8;
  constexpr uint64_t kUnknownUuid = 4;
  const aml::Bytes status = path("CDW1");
  const aml::Bytes control = path("CDW3");
  const aml::Bytes known = join({
      dword_field(arg(3), 8, "CDW3"),
      bit_and(control, integer(kGranted), control),
      if_true(logical_not(equal(arg(1), integer(1))), bit_or(status, integer(kUnknownRevision), status)),
  });
  return method("_OSC", 4, true,
                join({
                    dword_field(arg(3), 0, "CDW1"),
                    if_true(equal(arg(0), uuid_buffer("33db4d5b-1ff7-401c-9657-7441c03dd766")), known),
                    otherwise(bit_or(status, integer(kUnknownUuid), status)),
                    ret(arg(3)),
                }));
}

aml::Bytes serial_ports(const AcpiConfig& config) {
  aml::Bytes out;
  for (size_t i = 0; i < config.serial.size(); ++i) {
    const AcpiSerial& port = config.serial[i];
    const aml::Bytes irq = port.irq < 16 ? isa_irq(port.irq) : interrupt(port.irq, false);
    append(out, device(fmt::format("COM{}", i + 1), join({name("_HID", eisa_id("PNP0501")), name("_UID", integer(i + 1)),
                                                          name("_CRS", resources(join({io_ports(port.port, 8), irq})))})));
  }
  return out;
}

aml::Bytes isa_devices(const AcpiConfig& config) {
  aml::Bytes out = serial_ports(config);
  if (config.panic_port) {
    append(out, device("PEVT", join({name("_HID", string("QEMU0001")), name("_STA", integer(0x0F)),
                                     name("_CRS", resources(io_ports(*config.panic_port, 1)))})));
  }
  if (config.fw_cfg_port) {
    append(out, device("FWCF", join({name("_HID", string("QEMU0002")), name("_STA", integer(0x0B)),
                                     name("_CRS", resources(io_ports(*config.fw_cfg_port, 12)))})));
  }
  if (config.machine != AcpiMachine::pc) {
    return out;
  }
  if (config.fixed.rtc) {
    append(out, device("RTC", join({name("_HID", eisa_id("PNP0B00")),
                                    name("_CRS", resources(join({io_ports(0x70, 2), isa_irq(8)})))})));
  }
  for (size_t i = 0; i < config.parallel.size(); ++i) {
    const AcpiParallel& port = config.parallel[i];
    append(out, device(fmt::format("LPT{}", i + 1),
                       join({name("_HID", eisa_id("PNP0400")), name("_UID", integer(i + 1)),
                             name("_CRS", resources(join({io_ports(port.port, 8), isa_irq(port.irq)})))})));
  }
  if (config.hpet) {
    append(out, device("HPET", join({name("_HID", eisa_id("PNP0103")), name("_UID", integer(0)),
                                     name("_CRS", resources(memory32_fixed(true, config.hpet->base, AcpiHpet::kSize)))})));
  }
  if (config.fixed.floppy) {
    append(out,
           device("FDC0",
                  join({name("_HID", eisa_id("PNP0700")),
                        name("_CRS", resources(join({io_ports(0x3F0, 6), io_ports(0x3F7, 1), isa_irq(6), isa_dma(2)})))})));
  }
  if (config.fixed.i8042) {
    append(out, device("KBD", join({name("_HID", eisa_id("PNP0303")),
                                    name("_CRS", resources(join({io_ports(0x60, 1), io_ports(0x64, 1), isa_irq(1)})))})));
    append(out, device("MOU", join({name("_HID", eisa_id("PNP0F13")), name("_CRS", resources(isa_irq(12)))})));
  }
  return out;
}

aml::Bytes host_bridge(const AcpiConfig& config, const AcpiPci& pci) {
  const bool express = pci.ecam.size != 0;
  aml::Bytes body = name("_HID", eisa_id(express ? "PNP0A08" : "PNP0A03"));
  if (express) {
    append(body, name("_CID", eisa_id("PNP0A03")));
  }
  append(body, join({name("_UID", integer(0)), name("_SEG", integer(0)), name("_BBN", integer(0)),
                     name("_CRS", host_bridge_windows(pci)), name("_PRT", interrupt_routes(pci))}));
  if (express) {
    append(body, join({name("_CBA", integer(pci.ecam.base)), operating_system_capabilities()}));
  }
  if (config.machine == AcpiMachine::pc) {
    append(body, isa_devices(config));
  }
  if (pci.hotplug) {
    append(body, hotplug_slots(*pci.hotplug));
  }
  return device("PCI0", body);
}

// What the system must not give away: configuration space and the PM ports.
aml::Bytes motherboard_resources(const AcpiConfig& config) {
  aml::Bytes taken;
  if (config.pci && config.pci->ecam.size != 0) {
    const AcpiRange& ecam = config.pci->ecam;
    append(taken, ecam.base + ecam.size <= kHighRamStart
                      ? memory32_fixed(true, static_cast<uint32_t>(ecam.base), static_cast<uint32_t>(ecam.size))
                      : memory_window64(ecam.base, ecam.base + ecam.size - 1));
  }
  if (config.machine == AcpiMachine::pc) {
    const AcpiFixed& pm = config.fixed;
    append(taken, join({io_ports(pm.pm1a_event, 4), io_ports(pm.pm1a_control, 2), io_ports(pm.pm_timer, 4),
                        io_ports(pm.gpe0, pm.gpe0_length)}));
    if (config.pci && config.pci->hotplug) {
      append(taken, io_ports(static_cast<uint16_t>(config.pci->hotplug->registers.address), AcpiHotplug::kSize));
    }
    if (config.cpu_hotplug) {
      append(taken, io_ports(static_cast<uint16_t>(config.cpu_hotplug->address), kCpuHotplugSize));
    }
  }
  if (taken.empty()) {
    return {};
  }
  return device("MRES", join({name("_HID", eisa_id("PNP0C02")), name("_UID", integer(0)), name("_CRS", resources(taken))}));
}

aml::Bytes power_button_and_events(const AcpiConfig& config, bool hotplug, bool cpus) {
  const AcpiReduced& reduced = config.reduced;
  const auto space = reduced.event.space == AcpiSpace::io ? RegionSpace::io : RegionSpace::memory;
  aml::Bytes on_event = join({
      store(path("ESEL"), local(0)),
      if_true(bit_and(local(0), integer(1)), notify(path("\\_SB.PWRB"), integer(kNotifyPressed))),
  });
  if (hotplug) {
    append(on_event, if_true(bit_and(local(0), integer(2)), hotplug_look()));
  }
  if (cpus) {
    append(on_event, if_true(bit_and(local(0), integer(4)), cpus_look()));
  }
  if (config.generation_id) {
    append(on_event, if_true(bit_and(local(0), integer(8)), generation_id_changed()));
  }
  return join({
      device("PWRB", join({name("_HID", eisa_id("PNP0C0C")), name("_UID", integer(0))})),
      device("GED", join({
                        name("_HID", string("ACPI0013")),
                        name("_UID", integer(0)),
                        name("_CRS", resources(interrupt(reduced.event_gsi, false))),
                        operation_region("EREG", space, reduced.event.address, 4),
                        field("EREG", FieldAccess::dword, {{"ESEL", 32}}),
                        method("_EVT", 1, true, on_event),
                    })),
  });
}

}  // namespace

Bytes dsdt(const AcpiConfig& config) {
  const bool reduced = config.machine == AcpiMachine::microvm;
  const bool hotplug = config.pci && config.pci->hotplug;
  const bool cpus = config.cpu_hotplug.has_value();
  aml::Bytes system = processors(config);
  append(system, motherboard_resources(config));
  if (config.pci) {
    append(system, host_bridge(config, *config.pci));
  }
  if (reduced || !config.pci) {
    append(system, isa_devices(config));
  }
  if (reduced) {
    append(system, power_button_and_events(config, hotplug, cpus));
  }
  const uint64_t off = reduced ? 5 : 0;
  aml::Bytes all =
      join({scope("\\_SB", system), name("\\_S5", package({integer(off), integer(off), integer(0), integer(0)}))});
  if (hotplug && !reduced) {
    append(all, scope("\\_GPE", method("_E01", 0, false, hotplug_look())));
  }
  if (cpus && !reduced) {
    append(all, scope("\\_GPE", method("_E02", 0, false, cpus_look())));
  }
  return table("DSDT", 2, all);
}

}  // namespace lodge::acpi
