#include "vmm/cpu/model_map.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace lodge {
namespace {

// A directory with files given by name and content.
struct MapDir {
  std::string path = (std::filesystem::temp_directory_path() / "lodge-cpumap-XXXXXX").string();
  explicit MapDir(std::initializer_list<std::pair<const char*, std::string>> files) {
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    for (const auto& [name, text] : files) {
      std::ofstream(path + "/" + name) << text;
    }
  }
  ~MapDir() { std::filesystem::remove_all(path); }
};

std::string index_of(const std::string& inside) { return "<cpus><arch name='x86'>" + inside + "</arch></cpus>"; }

std::string error_of(const std::string& index) {
  const MapDir dir{{"index.xml", index}};
  const auto map = CpuMap::load(dir.path);
  REQUIRE(!map);
  return map.error().message;
}

bool contains(const std::string& text, std::string_view part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

const std::string kFeatures =
    "<feature name='a'><cpuid eax_in='0x01' edx='0x1'/></feature>"
    "<feature name='b'><alias name='bee' source='x'/><cpuid eax_in='7' ecx_in='1' ebx='0x80000000'/></feature>"
    "<feature name='m' migratable='no'><msr index='0x10a' edx='0x1' eax='0x2'/></feature>";

}  // namespace

TEST_CASE("libvirt's installed CPU map is read") {
  const auto map = CpuMap::load();
  INFO((map ? "" : map.error().message));
  REQUIRE(map);
  CHECK(map->models().size() > 40);
  CHECK(map->features().size() > 150);
  const auto milan = map->model("EPYC-Milan");
  REQUIRE(milan);
  CHECK((*milan)->vendor == "AMD");
  CHECK((*milan)->signatures.at(0).family == 25);
  CHECK(std::binary_search((*milan)->features.begin(), (*milan)->features.end(), std::string("svm")));
  CHECK(map->vendor_id("AMD") == "AuthenticAMD");
  const auto avx2 = map->feature("avx2");
  REQUIRE(avx2);
  CHECK((*avx2)->bits.at(0).leaf == 7);
  CHECK((*avx2)->bits.at(0).ebx == 0x20);
  CHECK(!(*map->feature("invtsc"))->migratable);
  CHECK((*map->feature("rdctl-no"))->bits.at(0).msr);
}

TEST_CASE("Features, aliases, ancestors, removed and added features") {
  const MapDir dir{{"index.xml",
                    "<cpus><arch name='x86'><include filename='f.xml'/><include filename='m.xml'/></arch>"
                    "<arch name='arm'><include filename='missing.xml'/></arch></cpus>"},
                   {"f.xml", "<cpus>" + kFeatures + "<vendor name='V' string='VendorVendor'/></cpus>"},
                   {"m.xml",
                    "<cpus><model name='base'><signature family='6' model='85' stepping='5-7'/><vendor name='V'/>"
                    "<feature name='a'/><feature name='b'/></model>"
                    "<model name='child'><model name='base'/><feature name='b' removed='yes'/><feature name='m'/></model>"
                    "<model name='late'><model name='base'/><feature name='m' added='yes'/></model></cpus>"}};
  const auto map = CpuMap::load(dir.path);
  INFO((map ? "" : map.error().message));
  REQUIRE(map);
  CHECK((*map->model("child"))->features == std::vector<std::string>{"a", "m"});
  CHECK((*map->model("child"))->vendor == "V");
  CHECK((*map->model("child"))->signatures.at(0).stepping == 5);
  CHECK((*map->model("late"))->features == std::vector<std::string>{"a", "b"});
  CHECK((*map->feature("bee"))->name == "b");
  CHECK((*map->feature("b"))->bits.at(0).ebx == 0x80000000);
  CHECK((*map->feature("b"))->bits.at(0).subleaf == 1);
  const auto unknown = map->model("nosuch");
  REQUIRE(!unknown);
  CHECK(unknown.error().message == "CPU model 'nosuch' is unknown; models: base, child, late");
  CHECK(!map->feature("nosuch"));
}

TEST_CASE("A missing CPU map says what to install") {
  const auto map = CpuMap::load("/nonexistent");
  REQUIRE(!map);
  CHECK(contains(map.error().message, "/nonexistent/index.xml"));
  CHECK(contains(map.error().message, "install libvirt0"));
}

TEST_CASE("Malformed CPU maps give errors, not surprises") {
  CHECK(contains(error_of("<cpus><arch"), "line 1"));
  CHECK(contains(error_of("<!DOCTYPE x [<!ENTITY e 'x'>]><cpus/>"), "document type"));
  CHECK(contains(error_of("<cpus/>"), "no x86 models"));
  CHECK(contains(error_of(index_of("<include filename='../etc/passwd'/>")), "outside the directory"));
  CHECK(contains(error_of(index_of("<include filename='index.xml'/>")), "too many files"));
  CHECK(contains(error_of(index_of("<feature name='a'/><feature name='a'/>")), "defined twice"));
  CHECK(contains(error_of(index_of(kFeatures + "<model name='x'/><model name='x'/>")), "defined twice"));
  CHECK(contains(error_of(index_of("<feature/>")), "name is missing"));
  CHECK(contains(error_of(index_of("<feature name='a'><cpuid eax_in='zz'/></feature>")), "not a number"));
  CHECK(contains(error_of(index_of("<feature name='a'><cpuid eax_in='0x1ffffffff'/></feature>")), "not a number"));
  CHECK(contains(error_of(index_of(kFeatures + "<model name='x'><feature name='zzz'/></model>")),
                 "'zzz', which is not defined"));
  CHECK(contains(error_of(index_of(kFeatures + "<model name='x'><model name='y'/></model>")), "'y' is not defined"));
  CHECK(contains(error_of(index_of(kFeatures + "<model name='x'><model name='x'/></model>")), "do not end"));
  std::string deep;
  for (int i = 0; i < 1000; ++i) {
    deep += "<z>";
  }
  CHECK(contains(error_of(index_of(deep)), "nested too deeply"));
}

}  // namespace lodge
