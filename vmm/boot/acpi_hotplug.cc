// How a system learns of PCI functions that come and go: AML over the registers of devices/pci/hotplug.h, whose
// offsets the machine compares with those here.
#include <fmt/core.h>

#include "vmm/boot/acpi_parts.h"
#include "vmm/boot/aml.h"

namespace lodge::acpi {
namespace {

using namespace lodge::aml;  // NOLINT(google-build-using-namespace): this file is one AML program

constexpr uint64_t kDeviceCheck = 1;
constexpr uint64_t kEjectRequest = 3;

std::string slot_name(uint32_t slot) { return fmt::format("S{:02X}", slot); }

aml::Bytes bit_of(uint32_t slot) { return integer(uint64_t{1} << slot); }

// A slot: where it is, how it is let go, and how the system says what became of a request.
aml::Bytes slot_device(uint32_t slot) {
  return device(slot_name(slot), join({
                                     name("_ADR", integer(uint64_t{slot} << 16)),
                                     name("_SUN", integer(slot)),
                                     method("_EJ0", 1, false, store(bit_of(slot), path("HPEJ"))),
                                     method("_OST", 3, false, join({path("HPNO"), arg(0), arg(1), integer(slot)})),
                                 }));
}

aml::Bytes registers(const AcpiRegister& base) {
  const auto space = base.space == AcpiSpace::io ? RegionSpace::io : RegionSpace::memory;
  return join({
      operation_region("HREG", space, base.address, AcpiHotplug::kSize),
      field("HREG", FieldAccess::dword, {{"HPUP", 32}, {"HPDN", 32}, {"HPEJ", 32}}),
      field("HREG", FieldAccess::byte, {{"", 96}, {"HPEV", 8}, {"HPST", 8}, {"HPSL", 8}}),
  });
}

}  // namespace

Bytes hotplug_slots(const AcpiHotplug& hotplug) {
  aml::Bytes out = registers(hotplug.registers);
  append(out, method("HPNO", 3, true,
                     join({store(arg(0), path("HPEV")), store(arg(1), path("HPST")), store(arg(2), path("HPSL"))})));
  // Reading takes the news, so each slot is told of once.
  aml::Bytes look = join({store(path("HPUP"), local(0)), store(path("HPDN"), local(1))});
  for (uint32_t slot = hotplug.first_slot; slot < 32; ++slot) {
    append(out, slot_device(slot));
    append(look, if_true(bit_and(local(0), bit_of(slot)), notify(path(slot_name(slot)), integer(kDeviceCheck))));
    append(look, if_true(bit_and(local(1), bit_of(slot)), notify(path(slot_name(slot)), integer(kEjectRequest))));
  }
  append(out, method("PCNT", 0, true, look));
  return out;
}

Bytes hotplug_look() { return path("\\_SB.PCI0.PCNT"); }

}  // namespace lodge::acpi
