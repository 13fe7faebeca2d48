// The tables of which build_acpi puts an image together. Private to vmm/boot; pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/boot/acpi.h"

namespace lodge::acpi {

using Bytes = std::vector<std::byte>;

// Appends little-endian numbers and fixed-width text.
class Writer {
 public:
  Writer& u8(uint64_t value) { return put(value, 1); }
  Writer& u16(uint64_t value) { return put(value, 2); }
  Writer& u32(uint64_t value) { return put(value, 4); }
  Writer& u64(uint64_t value) { return put(value, 8); }
  Writer& text(std::string_view value, size_t width, char pad);
  Writer& bytes(const Bytes& value);
  Writer& zeros(size_t count);
  [[nodiscard]] size_t size() const { return out_.size(); }
  [[nodiscard]] Bytes take() { return std::move(out_); }

 private:
  Writer& put(uint64_t value, unsigned size);
  Bytes out_;
};

[[nodiscard]] uint8_t checksum(std::span<const std::byte> data);
// A table with its header: length and checksum filled in.
[[nodiscard]] Bytes table(std::string_view signature, uint8_t revision, const Bytes& body);
inline constexpr size_t kHeaderSize = 36;

// The interrupt a PCI slot's pin uses (pin 0 = INTA).
[[nodiscard]] uint32_t pci_gsi(const AcpiPci& pci, uint32_t slot, uint32_t pin);

// Inside the host bridge: the slots that functions may come to and leave, and the method that looks for news.
[[nodiscard]] Bytes hotplug_slots(const AcpiHotplug& hotplug);
// The call of that method.
[[nodiscard]] Bytes hotplug_look();
// The processors, and with them the method that looks for news of such as come and go; and the call of it.
[[nodiscard]] Bytes processors(const AcpiConfig& config);
[[nodiscard]] Bytes cpus_look();
// A processor's entry in the MADT; not enabled: it may come later.
[[nodiscard]] Bytes madt_processor(size_t index, const AcpiCpu& cpu, bool enabled);
[[nodiscard]] Bytes dsdt(const AcpiConfig& config);
[[nodiscard]] Bytes fadt(const AcpiConfig& config, uint64_t dsdt_at, uint64_t facs_at);
[[nodiscard]] Bytes facs();
[[nodiscard]] Bytes madt(const AcpiConfig& config);
[[nodiscard]] Bytes mcfg(const AcpiPci& pci);
[[nodiscard]] Bytes srat(const AcpiConfig& config);
[[nodiscard]] Bytes slit(const AcpiConfig& config);
[[nodiscard]] Bytes waet();
[[nodiscard]] Bytes hpet(const AcpiHpet& timer);
// The generation ID's device, of a page at that address; and the notice that there is another ID.
[[nodiscard]] Bytes generation_id(const AcpiConfig& config, uint64_t page);
inline constexpr uint32_t kGenerationIdPointer = kHeaderSize + 6;  // where the address stands in its table
[[nodiscard]] Bytes generation_id_changed();
[[nodiscard]] Bytes xsdt(const std::vector<uint64_t>& addresses);
[[nodiscard]] Bytes rsdt(const std::vector<uint64_t>& addresses);
[[nodiscard]] Bytes rsdp(uint64_t rsdt_at, uint64_t xsdt_at);

}  // namespace lodge::acpi
