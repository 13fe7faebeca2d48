#include "vmm/boot/smbios.h"

#include <catch2/catch.hpp>
#include <map>
#include <numeric>

#include "vmm/boot/layout.h"

namespace lodge {
namespace {

struct Structure {
  std::vector<std::byte> fields;
  std::vector<std::string> strings;
};

// An independent reading of the table: type -> structures.
std::multimap<unsigned, Structure> parse(const std::vector<std::byte>& table) {
  std::multimap<unsigned, Structure> found;
  size_t at = 0;
  while (at < table.size()) {
    const auto length = std::to_integer<size_t>(table[at + 1]);
    Structure one{{table.begin() + static_cast<ptrdiff_t>(at), table.begin() + static_cast<ptrdiff_t>(at + length)}, {}};
    const unsigned type = std::to_integer<unsigned>(table[at]);
    at += length;
    do {
      std::string text;
      while (table.at(at) != std::byte{0}) {
        text += static_cast<char>(table[at++]);
      }
      ++at;
      if (!text.empty()) {
        one.strings.push_back(text);
      }
    } while (table.at(at) != std::byte{0} || (one.strings.empty() && table.at(at) != std::byte{0}));
    ++at;
    found.emplace(type, one);
  }
  return found;
}

unsigned sum(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0U,
                         [](unsigned total, std::byte b) { return total + std::to_integer<unsigned>(b); }) &
         0xff;
}

}  // namespace

TEST_CASE("SMBIOS describes the system, its processors and memory") {
  SmbiosConfig config;
  config.ram_size = 20 * kGiB;
  config.sockets = 2;
  config.cores_per_socket = 4;
  config.threads_per_socket = 8;
  config.serial = "S-1";
  config.oem_strings = {"one", "", "three"};
  config.uuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
  const auto image = build_smbios(config);
  REQUIRE(image);
  const auto found = parse(image->table);
  for (const auto& [type, length] : std::map<unsigned, size_t>{
           {0, 0x18}, {1, 0x1b}, {3, 0x16}, {4, 0x30}, {16, 0x17}, {17, 0x28}, {19, 0x1f}, {32, 0x0b}, {127, 4}}) {
    INFO("type " << type);
    REQUIRE(found.count(type) >= 1);
    CHECK(found.find(type)->second.fields.size() == length);
  }
  CHECK(found.count(4) == 2);
  CHECK(found.count(17) == 2);
  CHECK(found.count(19) == 2);
  const Structure& system = found.find(1)->second;
  CHECK(system.strings == std::vector<std::string>{"Lodge", "Virtual machine", "S-1"});
  CHECK(system.fields[8] == std::byte{0x33});
  CHECK(system.fields[16] == std::byte{0x88});
  CHECK(found.find(11)->second.strings == std::vector<std::string>{"one", " ", "three"});
  CHECK(load_le<uint64_t>(found.find(16)->second.fields, 15) == 20 * kGiB);
}

TEST_CASE("SMBIOS entry points have right checksums and addresses") {
  SmbiosConfig config;
  config.ram_size = 64 * kMiB;
  const auto image = build_smbios(config);
  REQUIRE(image);
  CHECK(sum(image->entry64) == 0);
  CHECK(sum(image->entry32) == 0);
  CHECK(sum(std::span(image->entry32).subspan(16)) == 0);
  CHECK(load_le<uint64_t>(image->entry64, 16) == kSmbiosTable.value);
  CHECK(load_le<uint16_t>(image->entry32, 22) == image->table.size());
  CHECK(load_le<uint16_t>(image->entry32, 28) == parse(image->table).size());
  const auto memory = GuestMemory::create(ram_ranges(config.ram_size), {});
  REQUIRE(memory);
  REQUIRE(write_smbios(**memory, *image));
  CHECK((*memory)->read<uint32_t>(kSmbiosEntry).value() == 0x334d535f);
}

TEST_CASE("SMBIOS refuses strings that do not fit") {
  SmbiosConfig config;
  config.ram_size = 64 * kMiB;
  config.serial = std::string(2000, 'x');
  CHECK(!build_smbios(config));
  config.serial = std::string("a\0b", 3);
  CHECK(!build_smbios(config));
  config.serial = "";
  config.oem_strings.assign(255, std::string(1000, 'x'));
  const auto image = build_smbios(config);
  REQUIRE(!image);
  CHECK(image.error().message.find("do not fit") != std::string::npos);
}

TEST_CASE("SMBIOS fits for the largest guests") {
  SmbiosConfig config;
  config.ram_size = 64 * 1024 * kGiB;
  config.sockets = 4096;
  CHECK(build_smbios(config));
}

}  // namespace lodge
