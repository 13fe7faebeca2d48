#include "vmm/boot/acpi.h"

#include <algorithm>

#include "vmm/boot/acpi_parts.h"
#include "vmm/cpu/topology.h"

namespace lodge {
namespace {

constexpr uint64_t kTableAlignment = 16;
constexpr uint64_t kMaxNodes = 128;
constexpr uint64_t kFacsSize = 64;

// Offsets of what points to other tables, and of checksums.
constexpr uint32_t kHeaderChecksum = 9;
constexpr uint32_t kFadtFacs = 36;
constexpr uint32_t kFadtDsdt = 40;
constexpr uint32_t kFadtDsdt64 = 140;
constexpr uint32_t kRsdpChecksum = 8;
constexpr uint32_t kRsdpRsdt = 16;
constexpr uint32_t kRsdpFirstPart = 20;
constexpr uint32_t kRsdpXsdt = 24;
constexpr uint32_t kRsdpExtendedChecksum = 32;
constexpr uint32_t kRsdpSize = 36;

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

// All tables from `base` upwards; returns where they end. Sizes do not depend on addresses. `facs`: where that one is,
// outside of the rest (unless it is the first at `base`). `generation_page`: where the generation ID's page is.
uint64_t place(const AcpiConfig& config, uint64_t base, uint64_t facs, uint64_t generation_page, AcpiImage& image) {
  const bool reduced = config.machine == AcpiMachine::microvm;
  image = {};
  image.rsdp = kAcpiRsdp;
  image.tables.push_back({"RSDP", kAcpiRsdp, {}});
  if (!reduced) {
    image.tables.push_back({"FACS", Gpa{facs}, acpi::facs()});
  }
  Placement placement(facs == base ? base + kFacsSize : base);
  const uint64_t dsdt = placement.add(image, "DSDT", acpi::dsdt(config));
  std::vector<uint64_t> roots;
  roots.push_back(placement.add(image, "FACP", acpi::fadt(config, dsdt, reduced ? 0 : facs)));
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
  if (config.hpet) {
    roots.push_back(placement.add(image, "HPET", acpi::hpet(*config.hpet)));
  }
  if (config.generation_id) {
    roots.push_back(placement.add(image, "SSDT", acpi::generation_id(config, generation_page)));
  }
  const uint64_t rsdt = placement.add(image, "RSDT", acpi::rsdt(roots));
  const uint64_t xsdt = placement.add(image, "XSDT", acpi::xsdt(roots));
  image.tables.front().bytes = acpi::rsdp(rsdt, xsdt);
  return placement.end();
}

// Commands of the table loader: 128 bytes each, names of 56.
class LoaderScript {
 public:
  enum Zone : uint8_t { kHigh = 1, kBelowMiB = 2 };
  void allocate(std::string_view file, uint32_t alignment, Zone zone) {
    finish(acpi::Writer().u32(1).text(file, kName, '\0').u32(alignment).u8(zone));
  }
  void add_pointer(std::string_view in, uint32_t offset, uint8_t size, std::string_view to) {
    finish(acpi::Writer().u32(2).text(in, kName, '\0').text(to, kName, '\0').u32(offset).u8(size));
  }
  void add_checksum(std::string_view file, uint32_t at, uint32_t start, uint32_t length) {
    finish(acpi::Writer().u32(3).text(file, kName, '\0').u32(at).u32(start).u32(length));
  }
  // The firmware tells us in `in` where `offset_there` of `to` is.
  void write_pointer(std::string_view in, std::string_view to, uint32_t offset_there, uint8_t size) {
    finish(acpi::Writer().u32(4).text(in, kName, '\0').text(to, kName, '\0').u32(0).u32(offset_there).u8(size));
  }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  static constexpr size_t kName = 56;
  static constexpr size_t kCommand = 128;
  void finish(acpi::Writer& command) {
    command.zeros(kCommand - command.size());
    const acpi::Bytes bytes = command.take();
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> bytes_;
};

}  // namespace

Result<AcpiFiles> build_acpi_files(const AcpiConfig& config) {
  TRY_VOID(validate(config));
  AcpiImage image;
  AcpiFiles files;
  LoaderScript script;
  files.tables.resize(place(config, 0, 0, 0, image));
  script.allocate(AcpiFiles::kTables, kFacsSize, LoaderScript::kHigh);
  script.allocate(AcpiFiles::kRsdp, kTableAlignment, LoaderScript::kBelowMiB);
  if (config.generation_id) {
    script.allocate(config.generation_id->file, kPageSize, LoaderScript::kHigh);
  }
  const auto pointer = [&script](uint64_t at, uint8_t size) {
    script.add_pointer(AcpiFiles::kTables, static_cast<uint32_t>(at), size, AcpiFiles::kTables);
  };
  for (AcpiTable& table : image.tables) {
    const uint64_t at = table.at.value;
    if (table.signature == "RSDP") {
      files.rsdp = std::move(table.bytes);
      continue;
    }
    if (table.signature != "FACS") {
      table.bytes[kHeaderChecksum] = std::byte{0};
    }
    std::ranges::copy(table.bytes, files.tables.begin() + static_cast<std::ptrdiff_t>(at));
    if (table.signature == "FACP") {
      pointer(at + kFadtFacs, 4);
      pointer(at + kFadtDsdt, 4);
      pointer(at + kFadtDsdt64, 8);
    } else if (table.signature == "SSDT") {
      script.add_pointer(AcpiFiles::kTables, static_cast<uint32_t>(at) + acpi::kGenerationIdPointer, 4,
                         config.generation_id->file);
    } else if (table.signature == "RSDT" || table.signature == "XSDT") {
      const uint8_t size = table.signature == "RSDT" ? 4 : 8;
      for (uint64_t entry = acpi::kHeaderSize; entry < table.bytes.size(); entry += size) {
        pointer(at + entry, size);
      }
    }
  }
  script.add_pointer(AcpiFiles::kRsdp, kRsdpRsdt, 4, AcpiFiles::kTables);
  script.add_pointer(AcpiFiles::kRsdp, kRsdpXsdt, 8, AcpiFiles::kTables);
  for (const AcpiTable& table : image.tables) {
    if (table.signature != "FACS" && table.signature != "RSDP") {
      const auto at = static_cast<uint32_t>(table.at.value);
      script.add_checksum(AcpiFiles::kTables, at + kHeaderChecksum, at, static_cast<uint32_t>(table.bytes.size()));
    }
  }
  if (config.generation_id) {
    script.write_pointer(config.generation_id->address_file, config.generation_id->file, AcpiGenerationId::kOffset, 8);
  }
  files.rsdp[kRsdpChecksum] = std::byte{0};
  files.rsdp[kRsdpExtendedChecksum] = std::byte{0};
  script.add_checksum(AcpiFiles::kRsdp, kRsdpChecksum, 0, kRsdpFirstPart);
  script.add_checksum(AcpiFiles::kRsdp, kRsdpExtendedChecksum, 0, kRsdpSize);
  files.loader = script.take();
  return files;
}

Result<AcpiImage> build_acpi(const AcpiConfig& config, uint64_t low_ram_end) {
  TRY_VOID(validate(config));
  AcpiImage image;
  const uint64_t end = place(config, kAcpiLowTables.value, kAcpiFacs.value, kGenerationIdPage.value, image);
  if (end <= kAcpiLowEnd) {
    return image;
  }
  const uint64_t size = align_up(end - kAcpiLowTables.value, kPageSize);
  if (low_ram_end < kHighMemoryStart + size) {
    return fail("ACPI tables of {} KiB do not fit into the guest's memory; give it more", size / kKiB);
  }
  const uint64_t base = align_down(low_ram_end - size, kPageSize);
  place(config, base, kAcpiFacs.value, kGenerationIdPage.value, image);
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
