// Every table that build_acpi makes is disassembled and compiled again by ACPICA's iasl, for all machine shapes.
#include "vmm/boot/acpi.h"

#include <sys/wait.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <string>

#include "vmm/boot/aml.h"
#include "vmm/cpu/topology.h"

namespace lodge {
namespace {

AcpiConfig make(AcpiMachine machine, uint32_t cpus, uint32_t nodes = 1) {
  AcpiConfig config;
  config.machine = machine;
  for (uint32_t i = 0; i < cpus; ++i) {
    config.cpus.push_back({x2apic_id(default_topology(cpus), i), i % nodes, true});
  }
  for (uint32_t i = 0; nodes > 1 && i < nodes; ++i) {
    config.nodes.push_back({{{i * kGiB, kGiB}}, {}});
  }
  config.reduced.sleep_control = {AcpiSpace::memory, 0xfed00000};
  config.reduced.sleep_status = {AcpiSpace::memory, 0xfed00001};
  config.reduced.reset = {AcpiSpace::memory, 0xfed00002};
  config.reduced.event = {AcpiSpace::memory, 0xfed00004};
  config.reduced.event_gsi = 9;
  config.serial.push_back({});
  AcpiPci pci;
  pci.window32 = {0xc0000000, 0x20000000};
  if (machine == AcpiMachine::microvm) {
    pci.ecam = {0xe0000000, 256 * kMiB};
    pci.window64 = {0x8000000000, 0x8000000000};
    pci.io = {{0x1000, 0xf000}};
  } else {
    pci.io = {{0, 0xcf8}, {0xd00, 0xf300}};
    pci.gsi = [](uint32_t slot, uint32_t pin) { return std::array<uint32_t, 4>{10, 10, 11, 11}[(slot + pin) % 4]; };
  }
  config.pci = pci;
  return config;
}

unsigned sum(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0U,
                         [](unsigned total, std::byte b) { return total + std::to_integer<unsigned>(b); }) &
         0xff;
}

std::map<std::string, AcpiTable> by_name(const AcpiImage& image) {
  std::map<std::string, AcpiTable> tables;
  for (const AcpiTable& table : image.tables) {
    tables[table.signature] = table;
  }
  return tables;
}

struct TempDir {
  std::string path;
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lodge-acpi-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~TempDir() { std::filesystem::remove_all(path); }
};

// Runs a command; its output and whether it exited with 0.
std::pair<bool, std::string> run(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> chunk{};
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
    output.append(chunk.data(), got);
  }
  const int status = ::pclose(pipe);
  return {WIFEXITED(status) && WEXITSTATUS(status) == 0, output};
}

void compile_again(const AcpiImage& image) {
  const auto [present, version] = run("iasl -v");
  INFO("iasl (package acpica-tools) must be installed: " << version);
  REQUIRE(present);
  const TempDir dir;
  for (const AcpiTable& table : image.tables) {
    if (table.signature == "RSDP") {
      continue;  // not a table with a header; checked below
    }
    const std::string stem = dir.path + "/" + table.signature;
    std::ofstream(stem + ".dat", std::ios::binary)
        .write(reinterpret_cast<const char*>(table.bytes.data()), static_cast<std::streamsize>(table.bytes.size()));
    const auto [disassembled, text] = run("cd " + dir.path + " && iasl -d " + table.signature + ".dat");
    INFO(table.signature << ": " << text);
    REQUIRE(disassembled);
    REQUIRE(text.find("rror") == std::string::npos);
    // 6035: QEMUVGID, which systems know, is no identifier by the rules of ACPI.
    const auto [compiled, log] =
        run("cd " + dir.path + " && iasl -vw 6035 -oa -p " + table.signature + "-again " + table.signature + ".dsl");
    INFO(log);
    CHECK(compiled);
    if (table.signature == "DSDT") {
      CHECK(log.find(" 0 Errors, 0 Warnings") != std::string::npos);
    }
    std::ifstream again(stem + "-again.aml", std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(again)), {});
    // What another table declares is declared by iasl, too.
    std::ifstream source(stem + ".dsl");
    const std::string lines((std::istreambuf_iterator<char>(source)), {});
    const bool outside = lines.find("External (") != std::string::npos;
    CHECK(outside == (lines.find("_SB_.VGEN, ") != std::string::npos));
    if (!outside) {
      CHECK(bytes.size() == table.bytes.size());
    }
  }
}

void check_sums(const AcpiImage& image) {
  for (const AcpiTable& table : image.tables) {
    INFO(table.signature);
    if (table.signature != "FACS") {
      CHECK(sum(table.bytes) == 0);
    }
    if (table.signature == "RSDP") {
      CHECK(sum(std::span(table.bytes).first(20)) == 0);
    } else {
      CHECK(load_le<uint32_t>(table.bytes, 4) == table.bytes.size());
    }
  }
}

}  // namespace

TEST_CASE("ACPI tables survive iasl for every machine shape") {
  const AcpiMachine machine = GENERATE(AcpiMachine::microvm, AcpiMachine::pc);
  const uint32_t cpus = GENERATE(1U, 4U, 300U);
  const auto image = build_acpi(make(machine, cpus), kGiB);
  REQUIRE(image);
  check_sums(*image);
  compile_again(*image);
}

TEST_CASE("ACPI tables survive iasl with NUMA cells") {
  const AcpiMachine machine = GENERATE(AcpiMachine::microvm, AcpiMachine::pc);
  const auto image = build_acpi(make(machine, 8, 3), kGiB);
  REQUIRE(image);
  check_sums(*image);
  compile_again(*image);
  const auto tables = by_name(*image);
  CHECK(load_le<uint64_t>(tables.at("SLIT").bytes, 36) == 3);
  CHECK(tables.at("SLIT").bytes[44] == std::byte{10});
  CHECK(tables.at("SLIT").bytes[45] == std::byte{20});
}

TEST_CASE("ACPI tables with PCI hotplug survive iasl") {
  const AcpiMachine machine = GENERATE(AcpiMachine::microvm, AcpiMachine::pc);
  const bool pc = machine == AcpiMachine::pc;
  AcpiConfig config = make(machine, 2);
  config.pci->hotplug =
      AcpiHotplug{pc ? AcpiRegister{AcpiSpace::io, 0xAE00} : AcpiRegister{AcpiSpace::memory, 0xFEB01000}, pc ? 2U : 1U};
  const auto image = build_acpi(config, kGiB);
  REQUIRE(image);
  check_sums(*image);
  compile_again(*image);
  const AcpiTable dsdt = by_name(*image).at("DSDT");
  const std::string_view text(reinterpret_cast<const char*>(dsdt.bytes.data()), dsdt.bytes.size());
  CHECK((text.find("_E01") != std::string_view::npos) == pc);   // the other has its event device
  CHECK((text.find("S01_") != std::string_view::npos) == !pc);  // the pc's chipset has that slot
  CHECK(text.find("S00_") == std::string_view::npos);
  for (unsigned slot = 2; slot < 32; ++slot) {
    CHECK(text.find(fmt::format("S{:02X}_", slot)) != std::string_view::npos);
  }
}

TEST_CASE("ACPI tables with processors that come and go survive iasl") {
  const AcpiMachine machine = GENERATE(AcpiMachine::microvm, AcpiMachine::pc);
  const uint32_t cpus = GENERATE(2U, 300U);
  const bool pc = machine == AcpiMachine::pc;
  AcpiConfig config = make(machine, cpus, 2);
  config.cpus.back().enabled = false;
  config.cpu_hotplug = pc ? AcpiRegister{AcpiSpace::io, 0xAF00} : AcpiRegister{AcpiSpace::memory, 0xFEB02000};
  const auto image = build_acpi(config, kGiB);
  REQUIRE(image);
  check_sums(*image);
  compile_again(*image);
  const auto tables = by_name(*image);
  const auto& bytes = tables.at("DSDT").bytes;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK((text.find("_E02") != std::string_view::npos) == pc);
  for (const char* name : {"_MAT", "_STA", "_EJ0", "_OST", "_PXM"}) {
    CHECK(text.find(name) != std::string_view::npos);
  }
  const auto& madt = tables.at("APIC").bytes;
  const size_t last = cpus == 2 ? 44 + 8 : 44 + 255 * 8 + 44 * 16;
  CHECK(load_le<uint32_t>(madt, last + (cpus == 2 ? 4 : 8)) == 2);  // online-capable, not enabled
}

TEST_CASE("ACPI tables with a generation ID, an HPET and parallel ports survive iasl") {
  const AcpiMachine machine = GENERATE(AcpiMachine::microvm, AcpiMachine::pc);
  const bool pc = machine == AcpiMachine::pc;
  AcpiConfig config = make(machine, 2);
  config.generation_id = AcpiGenerationId{};
  if (pc) {
    config.hpet = AcpiHpet{0xFED00000, 0x8086A201};
    config.parallel = {{0x378, 7}, {0x278, 5}};
  }
  const auto image = build_acpi(config, kGiB);
  REQUIRE(image);
  check_sums(*image);
  compile_again(*image);
  const auto tables = by_name(*image);
  const auto text = [&tables](const char* name) {
    const auto& bytes = tables.at(name).bytes;
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  CHECK(load_le<uint32_t>(tables.at("SSDT").bytes, 42) == 0xEF000);  // the page, at a known place
  CHECK(text("SSDT").find("QEMUVGID") != std::string::npos);
  CHECK(text("SSDT").find("VM_Gen_Counter") != std::string::npos);
  CHECK((text("SSDT").find("_E03") != std::string::npos) == pc);
  CHECK((text("DSDT").find("VGEN") != std::string::npos) == !pc);  // its event device tells
  CHECK(tables.contains("HPET") == pc);
  CHECK((text("DSDT").find("LPT2") != std::string::npos) == pc);
  if (pc) {  // IA-PC HPET specification 1.0a, table 3
    const auto& hpet = tables.at("HPET").bytes;
    CHECK(hpet.size() == 56);
    CHECK(load_le<uint32_t>(hpet, 36) == 0x8086A201);
    CHECK(load_le<uint32_t>(hpet, 40) == 0x4000);  // in memory, 64 bits
    CHECK(load_le<uint64_t>(hpet, 44) == 0xFED00000);
    CHECK(hpet[52] == std::byte{0});
  }
  CHECK_FALSE(by_name(*build_acpi(make(machine, 2), kGiB)).contains("SSDT"));
}

TEST_CASE("ACPI pointers lead from the RSDP to every table") {
  const auto image = build_acpi(make(AcpiMachine::pc, 2), kGiB);
  REQUIRE(image);
  const auto tables = by_name(*image);
  CHECK(image->rsdp.value == 0xe0000);
  CHECK(load_le<uint64_t>(tables.at("RSDP").bytes, 24) == tables.at("XSDT").at.value);
  CHECK(load_le<uint32_t>(tables.at("RSDP").bytes, 16) == tables.at("RSDT").at.value);
  CHECK(load_le<uint64_t>(tables.at("XSDT").bytes, 36) == tables.at("FACP").at.value);
  const auto& fadt = tables.at("FACP").bytes;
  CHECK(fadt.size() == 276);
  CHECK(load_le<uint32_t>(fadt, 40) == tables.at("DSDT").at.value);
  CHECK(load_le<uint64_t>(fadt, 140) == tables.at("DSDT").at.value);
  CHECK(load_le<uint32_t>(fadt, 36) == tables.at("FACS").at.value);
  CHECK(load_le<uint16_t>(fadt, 46) == 9);
  CHECK(load_le<uint32_t>(fadt, 76) == 0x608);
  CHECK(load_le<uint64_t>(fadt, 120) == 0xcf9);
  CHECK(fadt[128] == std::byte{6});
  CHECK((load_le<uint32_t>(fadt, 112) & (1U << 8 | 1U << 10)) == (1U << 8 | 1U << 10));
  CHECK((load_le<uint32_t>(fadt, 112) & (1U << 4)) == 0);  // a fixed power button
}

// What firmware does with the list of commands, at addresses of its choice.
TEST_CASE("The table loader's commands make sound tables wherever they are put") {
  AcpiConfig config = make(AcpiMachine::pc, 2);
  config.generation_id = AcpiGenerationId{};
  AcpiFiles files = *build_acpi_files(config);
  std::vector<std::byte> generation(4096);
  std::map<std::string, std::vector<std::byte>*> by_file{
      {AcpiFiles::kTables, &files.tables}, {AcpiFiles::kRsdp, &files.rsdp}, {config.generation_id->file, &generation}};
  const std::map<std::string, uint64_t> base{
      {AcpiFiles::kTables, 0x7ff0000}, {AcpiFiles::kRsdp, 0xf5a00}, {config.generation_id->file, 0x7fee000}};
  uint64_t told = 0;
  REQUIRE(files.loader.size() % 128 == 0);
  int allocated = 0;
  for (size_t at = 0; at < files.loader.size(); at += 128) {
    const auto command = std::span(files.loader).subspan(at, 128);
    const auto name = [&command](size_t offset) {
      return std::string(reinterpret_cast<const char*>(command.data() + offset));
    };
    const auto u32 = [&command](size_t offset) { return load_le<uint32_t>(command, offset); };
    switch (u32(0)) {
      case 1: allocated += by_file.contains(name(4)) ? 1 : 0; break;
      case 2: {
        std::vector<std::byte>& in = *by_file.at(name(4));
        const uint32_t offset = u32(116);
        const auto size = std::to_integer<size_t>(command[120]);
        REQUIRE(offset + size <= in.size());
        uint64_t value = 0;
        std::memcpy(&value, in.data() + offset, size);
        REQUIRE(value < by_file.at(name(60))->size());
        value += base.at(name(60));
        std::memcpy(in.data() + offset, &value, size);
        break;
      }
      case 3: {
        std::vector<std::byte>& in = *by_file.at(name(4));
        REQUIRE(u32(64) + u32(68) <= in.size());
        CHECK(in.at(u32(60)) == std::byte{0});
        in.at(u32(60)) = static_cast<std::byte>(0x100 - sum(std::span(in).subspan(u32(64), u32(68))));
        break;
      }
      case 4:
        CHECK(name(4) == config.generation_id->address_file);
        CHECK(u32(116) == 0);
        CHECK(command[124] == std::byte{8});
        told = base.at(name(60)) + u32(120);
        break;
      default: FAIL("unknown command");
    }
  }
  CHECK(allocated == 3);
  CHECK(told == 0x7fee000 + 40);
  CHECK(sum(files.rsdp) == 0);
  CHECK(sum(std::span(files.rsdp).first(20)) == 0);
  const uint64_t tables = base.at(AcpiFiles::kTables);
  const auto table = [&](uint64_t at) { return std::span(files.tables).subspan(at - tables); };
  const auto xsdt = table(load_le<uint64_t>(files.rsdp, 24));
  const auto rsdt = table(load_le<uint32_t>(files.rsdp, 16));
  const auto length = load_le<uint32_t>(xsdt, 4);
  CHECK(sum(xsdt.first(length)) == 0);
  uint64_t page = 0;
  for (size_t i = 0; 36 + 8 * i < length; ++i) {
    const auto at = load_le<uint64_t>(xsdt, 36 + 8 * i);
    page = load_le<uint32_t>(table(at), 0) == 0x54445353 ? load_le<uint32_t>(table(at), 42) : page;  // SSDT
    CHECK(at == load_le<uint32_t>(rsdt, 36 + 4 * i));
    CHECK(sum(table(at).first(load_le<uint32_t>(table(at), 4))) == 0);
  }
  CHECK(page == 0x7fee000);
  const auto fadt = table(load_le<uint64_t>(xsdt, 36));
  CHECK(load_le<uint32_t>(table(load_le<uint32_t>(fadt, 36)), 0) == 0x53434146);  // FACS
  CHECK(load_le<uint32_t>(fadt, 36) % 64 == 0);
  CHECK(load_le<uint32_t>(fadt, 40) == load_le<uint64_t>(fadt, 140));
  CHECK(load_le<uint32_t>(table(load_le<uint32_t>(fadt, 40)), 0) == 0x54445344);  // DSDT
}

TEST_CASE("A microvm's FADT is hardware-reduced") {
  const auto image = build_acpi(make(AcpiMachine::microvm, 1), kGiB);
  REQUIRE(image);
  const auto tables = by_name(*image);
  const auto& fadt = tables.at("FACP").bytes;
  CHECK((load_le<uint32_t>(fadt, 112) & (1U << 20)) != 0);
  CHECK(load_le<uint64_t>(fadt, 120) == 0xfed00002);
  CHECK(load_le<uint64_t>(fadt, 248) == 0xfed00000);  // sleep control
  CHECK(load_le<uint64_t>(fadt, 260) == 0xfed00001);  // sleep status
  CHECK(load_le<uint32_t>(fadt, 56) == 0);
  CHECK(tables.count("FACS") == 0);
  CHECK(load_le<uint64_t>(tables.at("MCFG").bytes, 44) == 0xe0000000);
}

TEST_CASE("Processors with ids above 254 get x2APIC entries") {
  const auto image = build_acpi(make(AcpiMachine::microvm, 300), kGiB);
  REQUIRE(image);
  const auto tables = by_name(*image);
  const auto& madt = tables.at("APIC").bytes;
  unsigned local = 0;
  unsigned extended = 0;
  for (size_t at = 44; at < madt.size(); at += std::to_integer<size_t>(madt[at + 1])) {
    local += madt[at] == std::byte{0};
    extended += madt[at] == std::byte{9};
  }
  CHECK(local == 255);
  CHECK(extended == 45);
}

TEST_CASE("Tables that outgrow the BIOS area move to the top of low RAM") {
  const auto image = build_acpi(make(AcpiMachine::microvm, 4096), kGiB);
  REQUIRE(image);
  CHECK(image->high_size > 64 * kKiB);
  CHECK(image->high_base + image->high_size == kGiB);
  for (const AcpiTable& table : image->tables) {
    if (table.signature != "RSDP") {
      CHECK(table.at.value >= image->high_base);
      CHECK(table.at.value + table.bytes.size() <= kGiB);
    }
  }
  check_sums(*image);
}

TEST_CASE("ACPI configurations that cannot be described are refused") {
  AcpiConfig config = make(AcpiMachine::microvm, 1);
  config.cpus.clear();
  CHECK(!build_acpi(config, kGiB));
  config = make(AcpiMachine::microvm, 1);
  config.pci->ecam.size = kMiB;
  CHECK(!build_acpi(config, kGiB));
  config = make(AcpiMachine::microvm, 1);
  config.pci->slots = 33;
  CHECK(!build_acpi(config, kGiB));
  config = make(AcpiMachine::pc, 1);
  config.pci->io = {{0xffff, 2}};
  CHECK(!build_acpi(config, kGiB));
  CHECK(!build_acpi(make(AcpiMachine::microvm, 4097), kGiB));
}

TEST_CASE("write_acpi puts the RSDP where it says") {
  const auto memory = GuestMemory::create(ram_ranges(32 * kMiB), {});
  REQUIRE(memory);
  const auto image = build_acpi(make(AcpiMachine::microvm, 1), 32 * kMiB);
  REQUIRE(image);
  REQUIRE(write_acpi(**memory, *image));
  CHECK((*memory)->read<uint64_t>(image->rsdp).value() == 0x2052545020445352);  // "RSD PTR "
}

TEST_CASE("AML encodes names and lengths as the specification says") {
  CHECK(aml::path("\\_SB.PCI0.S1") == [] {
    aml::Bytes out;
    for (const char c : std::string("\\\x2f\x03_SB_PCI0S1__")) {
      out.push_back(static_cast<std::byte>(c));
    }
    return out;
  }());
  CHECK(aml::eisa_id("PNP0A08") ==
        aml::Bytes{std::byte{0x0c}, std::byte{0x41}, std::byte{0xd0}, std::byte{0x0a}, std::byte{0x08}});
  CHECK(aml::integer(1) == aml::Bytes{std::byte{1}});
  CHECK(aml::integer(0x100).size() == 3);
  CHECK(aml::buffer(std::vector<std::byte>(60)).size() == 64);  // one length byte
  CHECK(aml::buffer(std::vector<std::byte>(61)).size() == 66);  // two
  CHECK(aml::buffer(std::vector<std::byte>(0x1000)).size() == 0x1000 + 1 + 3 + 3);
}

}  // namespace lodge
