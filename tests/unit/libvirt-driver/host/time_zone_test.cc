// Offsets of time zones, read from the host's files and from broken ones.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "libvirt-driver/host/time_zone.h"

namespace lodge {
namespace {

constexpr int64_t kWinter = 1705320000;  // 2024-01-15 12:00 UTC
constexpr int64_t kSummer = 1721044800;  // 2024-07-15 12:00 UTC

}  // namespace

TEST_CASE("time_zones_of_the_host_with_their_summer") {
  CHECK(seconds_east("UTC", kWinter).value() == 0);
  CHECK(seconds_east("Europe/Berlin", kWinter).value() == 3600);
  CHECK(seconds_east("Europe/Berlin", kSummer).value() == 7200);
  CHECK(seconds_east("America/New_York", kSummer).value() == -4 * 3600);
  CHECK(seconds_east("Asia/Kolkata", kSummer).value() == 19800);
  CHECK(seconds_east("Etc/GMT+12", kSummer).value() == -12 * 3600);
}

TEST_CASE("time_zones_that_are_none") {
  for (const char* none : {"", "/etc/passwd", "../passwd", "Europe/Nowhere", "Europe", "zone.tab", "a b", "tzdata.zi"}) {
    CHECK_FALSE(seconds_east(none, kWinter).has_value());
  }
  std::string name = (std::filesystem::temp_directory_path() / "lodge-zones-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  const std::filesystem::path folder = name;
  std::string bytes = "TZif2" + std::string(39, '\0');
  const auto says = [&](const std::string& text) {
    std::ofstream(folder / "Broken", std::ios::binary) << text;
    return seconds_east("Broken", kWinter, folder).has_value();
  };
  CHECK_FALSE(says(bytes));
  CHECK_FALSE(says(bytes.substr(0, 20)));
  std::string many = bytes;
  many.replace(32, 4, "\xff\xff\xff\xff");
  CHECK_FALSE(says(many + bytes));
  std::filesystem::remove_all(folder);
}

}  // namespace lodge
