// The device of the virtual machine generation ID (Microsoft, "Virtual Machine Generation ID", 2012), in a table of its own:
// firmware puts the address of the page into its first object.
#include "vmm/boot/acpi_parts.h"
#include "vmm/boot/aml.h"

namespace lodge::acpi {
namespace {

using namespace lodge::aml;  // NOLINT(google-build-using-namespace): this file is one AML program

constexpr uint64_t kNotifyChanged = 0x80;
constexpr uint64_t kPresent = 0x0F;

}  // namespace

Bytes generation_id_changed() { return notify(path("\\_SB.VGEN"), integer(kNotifyChanged)); }

Bytes generation_id(const AcpiConfig& config, uint64_t page) {
  const aml::Bytes address = path("VGIA");
  const aml::Bytes here = name("VGIA", dword(static_cast<uint32_t>(page)));
  // The package's numbers are the lower and the upper half.
  const aml::Bytes where = join({
      store(package({integer(0), integer(0)}), local(0)),
      add(address, integer(AcpiGenerationId::kOffset), element(local(0), 0)),
      ret(local(0)),
  });
  aml::Bytes all = join({
      here,
      scope("\\_SB",
            device("VGEN", join({
                               name("_HID", string("QEMUVGID")),
                               name("_CID", string("VM_Gen_Counter")),
                               name("_DDN", string("VM_Gen_Counter")),
                               method("_STA", 0, false,
                                      join({if_true(equal(address, integer(0)), ret(integer(0))), ret(integer(kPresent))})),
                               method("ADDR", 0, true, where),
                           }))),
  });
  if (config.machine == AcpiMachine::pc) {
    append(all, scope("\\_GPE", method("_E03", 0, false, generation_id_changed())));
  }
  return table("SSDT", 2, all);
}

}  // namespace lodge::acpi
