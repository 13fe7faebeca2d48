// Processors in the DSDT, and how a system learns of those that come and go: AML over the registers of
// devices/legacy/cpu_hotplug/device.h, whose offsets the machine compares with those here.
#include <fmt/core.h>

#include "vmm/boot/acpi_parts.h"
#include "vmm/boot/aml.h"

namespace lodge::acpi {
namespace {

using namespace lodge::aml;  // NOLINT(google-build-using-namespace): this file is one AML program

constexpr uint64_t kIndexBits = 24;  // of a piece of news; what to notify of stands above

std::string cpu_name(size_t cpu) { return fmt::format("C{:03X}", cpu); }

// The one method that touches registers by their selector: being serialized, it keeps a selection and its use together.
enum Access : uint8_t { kStatus = 0, kEject = 1, kOutcome = 2 };

aml::Bytes access_method() {
  return method(
      "CPUX", 4, true,
      join({
          store(arg(1), path("CSEL")),
          if_true(equal(arg(0), integer(kEject)), store(integer(1), path("CEJE"))),
          if_true(equal(arg(0), integer(kOutcome)), join({store(arg(2), path("CEVT")), store(arg(3), path("COUT"))})),
          ret(path("CSTA")),
      }));
}

aml::Bytes access(Access what, size_t cpu, const aml::Bytes& a = integer(0), const aml::Bytes& b = integer(0)) {
  return join({path("CPUX"), integer(what), integer(cpu), a, b});
}

// Whether it is there, what the MADT says of it once it is, where it is, and how it is let go. The first one stays.
aml::Bytes comings_and_goings(const AcpiConfig& config, size_t cpu) {
  aml::Bytes out = join({
      method("_STA", 0, true, ret(access(kStatus, cpu))),
      name("_MAT", buffer(madt_processor(cpu, config.cpus[cpu], true))),
  });
  if (config.nodes.size() > 1) {
    append(out, name("_PXM", integer(config.cpus[cpu].node)));
  }
  if (cpu > 0) {
    append(out, join({
                    method("_EJ0", 1, true, access(kEject, cpu)),
                    method("_OST", 3, true, access(kOutcome, cpu, arg(0), arg(1))),
                }));
  }
  return out;
}

// Reading takes the news, one piece at a time.
aml::Bytes look_method(const AcpiConfig& config) {
  aml::Bytes tell;
  for (size_t cpu = 1; cpu < config.cpus.size(); ++cpu) {
    append(tell, if_true(equal(arg(0), integer(cpu)), notify(path(cpu_name(cpu)), arg(1))));
  }
  const aml::Bytes take = store(path("CNEW"), local(0));
  return join({
      method("CNTF", 2, true, tell),
      method("CLOK", 0, true,
             join({take, while_true(logical_not(equal(local(0), integer(0))),
                                    join({path("CNTF"), bit_and(local(0), integer((uint64_t{1} << kIndexBits) - 1)),
                                          shift_right(local(0), integer(kIndexBits)), take}))})),
  });
}

}  // namespace

Bytes processors(const AcpiConfig& config) {
  aml::Bytes out;
  if (config.cpu_hotplug) {
    const AcpiRegister& base = *config.cpu_hotplug;
    const auto space = base.space == AcpiSpace::io ? RegionSpace::io : RegionSpace::memory;
    append(out, join({
                    operation_region("CREG", space, base.address, kCpuHotplugSize),
                    field("CREG", FieldAccess::dword,
                          {{"CSEL", 32}, {"CSTA", 32}, {"CNEW", 32}, {"CEJE", 32}, {"CEVT", 32}, {"COUT", 32}}),
                    access_method(),
                }));
  }
  for (size_t cpu = 0; cpu < config.cpus.size(); ++cpu) {
    aml::Bytes body = join({name("_HID", string("ACPI0007")), name("_UID", integer(cpu))});
    if (config.cpu_hotplug) {
      append(body, comings_and_goings(config, cpu));
    }
    append(out, device(cpu_name(cpu), body));
  }
  if (config.cpu_hotplug) {
    append(out, look_method(config));
  }
  return out;
}

Bytes cpus_look() { return path("\\_SB.CLOK"); }

}  // namespace lodge::acpi
