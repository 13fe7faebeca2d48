#include "vmm/boot/acpi.h"

#include "vmm/boot/acpi_parts.h"
#include "vmm/cpu/topology.h"

namespace lodge {
namespace {

constexpr uint64_t kTableAlignment = 16;
constexpr uint64_t kMaxNodes = 128;

Result<void> validate(const AcpiConfig& config) {
  if (config.cpus.empty() || config.cpus.size() > kMaxVcpus) {
    return fail("ACPI: {} processors; between 1 and {} can be described", config.cpus.size(), kMaxVcpus);
  }
  if (config.nodes.size() > kMaxNodes) {
    return fail("ACPI: {} NUMA cells; {} at most can be described", config.nodes.size(), kMaxNodes);
  }
  for (const AcpiCpu& cpu : config.cpus) {
    if (config.nodes.size() > 1 && cpu.node >= config.nodes.size()) {
      return fail("ACPI: a processor belongs to NUMA cell {} of {}", cpu.node, config.nodes.size());
    }
  }
  if (!config.pci) {
    return {};
  }
  const AcpiPci& pci = *config.pci;
  for (const AcpiRange& io : pci.io) {
    if (io.size == 0 || io.size > 0xffff || !range_fits(io.base, io.size, 0x10000)) {
      return fail("ACPI: PCI port window {:#x}+{:#x} does not lie in the 64 Ki ports", io.base, io.size);
    }
  }
  if (!range_fits(pci.window32.base, pci.window32.size, kHighRamStart)) {
    return fail("ACPI: the 32-bit PCI window {:#x}+{:#x} reaches beyond 4 GiB", pci.window32.base, pci.window32.size);
  }
  const uint64_t buses = uint64_t{pci.last_bus} + 1;
  if (pci.ecam.size != 0 && (pci.ecam.size < buses * kMiB || !checked_add(pci.ecam.base, pci.ecam.size))) {
    return fail("ACPI: configuration space of {} MiB is too small for {} PCI buses", pci.ecam.size / kMiB, buses);
  }
  if (pci.slots > 32 || pci.first_slot > 32 - pci.slots) {
    return fail("ACPI: PCI slots {}..{} lie beyond the 32 of a bus", pci.first_slot, pci.first_slot + pci.slots);
  }
  return {};
}

// Gives tables addresses one after another.
class Placement {
 public:
  explicit Placement(uint64_t base) : next_(base) {}
  uint64_t add(AcpiImage& image, const char* signature, std::vector<std::byte> bytes) {
    const uint64_t at = next_;
    next_ = align_up(at + bytes.size(), kTableAlignment);
    image.tables.push_back({signature, Gpa{at}, std::move(bytes)});
    return at;
  }
  [[nodiscard]] uint64_t end() const { return next_; }

 private:
  uint64_t next_;
};

// All tables from `base` upwards; returns where they end. Sizes do not depend on addresses.
uint64_t place(const AcpiConfig& config, uint64_t base, AcpiImage& image) {
  const bool reduced = config.machine == AcpiMachine::microvm;
  image = {};
  image.rsdp = kAcpiRsdp;
  image.tables.push_back({"RSDP", kAcpiRsdp, {}});
  if (!reduced) {
    image.tables.push_back({"FACS", kAcpiFacs, acpi::facs()});
  }
  Placement placement(base);
  const uint64_t dsdt = placement.add(image, "DSDT", acpi::dsdt(config));
  std::vector<uint64_t> roots;
  roots.push_back(placement.add(image, "FACP", acpi::fadt(config, dsdt, reduced ? 0 : kAcpiFacs.value)));
  roots.push_back(placement.add(image, "APIC", acpi::madt(config)));
  if (config.pci && config.pci->ecam.size != 0) {
    roots.push_back(placement.add(image, "MCFG", acpi::mcfg(*config.pci)));
  }
  if (config.nodes.size() > 1) {
    roots.push_back(placement.add(image, "SRAT", acpi::srat(config)));
    roots.push_back(placement.add(image, "SLIT", acpi::slit(config)));
  }
  if (!reduced) {
    roots.push_back(placement.add(image, "WAET", acpi::waet()));
  }
  const uint64_t rsdt = placement.add(image, "RSDT", acpi::rsdt(roots));
  const uint64_t xsdt = placement.add(image, "XSDT", acpi::xsdt(roots));
  image.tables.front().bytes = acpi::rsdp(rsdt, xsdt);
  return placement.end();
}

}  // namespace

Result<AcpiImage> build_acpi(const AcpiConfig& config, uint64_t low_ram_end) {
  TRY_VOID(validate(config));
  AcpiImage image;
  const uint64_t end = place(config, kAcpiLowTables.value, image);
  if (end <= kAcpiLowEnd) {
    return image;
  }
  const uint64_t size = align_up(end - kAcpiLowTables.value, kPageSize);
  if (low_ram_end < kHighMemoryStart + size) {
    return fail("ACPI tables of {} KiB do not fit into the guest's memory; give it more", size / kKiB);
  }
  const uint64_t base = align_down(low_ram_end - size, kPageSize);
  place(config, base, image);
  image.high_base = base;
  image.high_size = low_ram_end - base;
  return image;
}

Result<void> write_acpi(const GuestMemory& memory, const AcpiImage& image) {
  for (const AcpiTable& table : image.tables) {
    TRY_VOID_CONTEXT(memory.write_bytes(table.at, table.bytes), "write ACPI table " + table.signature);
  }
  return {};
}

}  // namespace lodge
