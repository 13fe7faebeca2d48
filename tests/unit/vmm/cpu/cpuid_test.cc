#include "vmm/cpu/cpuid.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

namespace lodge {
namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

kvm_cpuid_entry2 entry(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx) {
  kvm_cpuid_entry2 made{};
  made.function = leaf;
  made.index = subleaf;
  made.eax = eax;
  made.ebx = ebx;
  made.ecx = ecx;
  made.edx = edx;
  return made;
}

kvm_cpuid_entry2 leaf_of(const Entries& entries, uint32_t leaf, uint32_t subleaf = 0) {
  for (const kvm_cpuid_entry2& one : entries) {
    if (one.function == leaf && one.index == subleaf) {
      return one;
    }
  }
  return {};
}

bool present(const Entries& entries, uint32_t leaf, uint32_t subleaf = 0) {
  return std::any_of(entries.begin(), entries.end(),
                     [=](const kvm_cpuid_entry2& one) { return one.function == leaf && one.index == subleaf; });
}

// A processor that has every feature: all bits set where features live.
HostCpu host(bool amd) {
  HostCpu cpu;
  const uint32_t all = ~0U;
  cpu.supported = {
      amd ? entry(0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65) : entry(0, 0, 0x16, 0x756e6547, 0x6c65746e, 0x49656e69),
      entry(1, 0, 0x00a20f10, 0x00100800, all & ~(1U << 31 | 1U << 24), all),
      entry(6, 0, 4, 0, 0, 0),
      entry(7, 0, 1, all, all, all),
      entry(7, 1, all, 0, 0, 0),
      entry(0xd, 0, 0x2e7, 0x240, 0xa88, 0),
      entry(0xd, 1, 0xf, 0, 0x1800, 0),
      entry(0xd, 2, 256, 576, 0, 0),
      entry(0xd, 5, 64, 1088, 0, 0),
      entry(0xd, 6, 512, 1152, 0, 0),
      entry(0xd, 7, 1024, 1664, 0, 0),
      entry(0xd, 9, 8, 2688, 0, 0),
      entry(0xd, 11, 16, 0, 1, 0),
      entry(0x40000000, 0, 0x40000001, 0, 0, 0),
      entry(0x40000001, 0, 0x1007efb, 0, 0, 0),
      entry(0x80000000, 0, 0x80000021, 0, 0, 0),
      entry(0x80000001, 0, 0x00a20f10, 0, all, all),
      entry(0x80000007, 0, 0, 0, 0, all),
      entry(0x80000008, 0, 0x3030, all, 0, 0),
      entry(0x8000000a, 0, 1, 16, 0, all),
  };
  if (amd) {
    cpu.supported.push_back(entry(0x8000001d, 0, 1 | 1 << 5, 63, 63, 0));
    cpu.supported.push_back(entry(0x8000001d, 1, 3 | 3 << 5, 63, 63, 0));
    cpu.supported.push_back(entry(0x8000001d, 2, 0, 0, 0, 0));
  } else {
    cpu.supported.push_back(entry(4, 0, 1 | 1 << 5 | 0xfc000000, 63, 63, 0));
    cpu.supported.push_back(entry(4, 1, 3 | 3 << 5, 63, 63, 0));
    cpu.supported.push_back(entry(4, 2, 0, 0, 0, 0));
    cpu.supported.push_back(entry(0x15, 0, 2, 200, 0, 0));
  }
  cpu.feature_msrs = {{0x10a, 0, ~0ULL}, {0xcf, 0, ~0ULL}};
  return cpu;
}

void drop(HostCpu& cpu, uint32_t leaf, uint32_t kvm_cpuid_entry2::* reg, uint32_t bits) {
  for (kvm_cpuid_entry2& one : cpu.supported) {
    if (one.function == leaf && one.index == 0) {
      one.*reg &= ~bits;
    }
  }
}

const CpuMap& cpu_map() {
  static const Result<CpuMap> map = CpuMap::load();
  REQUIRE(map);
  return *map;
}

CpuConfig named(const std::string& model, std::vector<FeatureRequest> features = {}) {
  CpuConfig config;
  config.mode = CpuMode::custom;
  config.model = model;
  config.features = std::move(features);
  return config;
}

std::string error_of(const CpuConfig& config, const HostCpu& cpu) {
  const auto built = build_cpuid(config, cpu, &cpu_map(), 0);
  REQUIRE(!built);
  return built.error().message;
}

Entries build(const CpuConfig& config, const HostCpu& cpu, uint32_t index = 0) {
  const auto built = build_cpuid(config, cpu, &cpu_map(), index);
  INFO((built ? "" : built.error().message));
  REQUIRE(built);
  return *built;
}

}  // namespace

TEST_CASE("Host passthrough shows what KVM supports and what it emulates") {
  CpuConfig config;
  const auto built = build_cpuid(config, host(true), nullptr, 0);
  REQUIRE(built);
  const auto first = leaf_of(*built, 1);
  CHECK(first.eax == 0x00a20f10);
  CHECK((first.ecx & 1U << 31) != 0);
  CHECK((first.ecx & 1U << 24) != 0);
  CHECK((first.ecx & 1U << 21) != 0);
  CHECK((first.edx & 1U << 28) == 0);  // one processor per package
  CHECK(leaf_of(*built, 7).ebx == ~0U);
  CHECK(leaf_of(*built, 0).eax == 0x10);
  CHECK(leaf_of(*built, 0x80000007).edx == ~0U);
  HostCpu plain = host(true);
  plain.tsc_deadline = false;
  CHECK((leaf_of(build(config, plain), 1).ecx & 1U << 24) == 0);
}

TEST_CASE("Topology leaves of an Intel-like processor") {
  CpuConfig config;
  config.topology = {2, 1, 3, 2};
  const Entries entries = build(config, host(false), 11);
  const uint32_t id = x2apic_id(config.topology, 11);
  CHECK(leaf_of(entries, 1).ebx >> 24 == id);
  CHECK((leaf_of(entries, 1).ebx >> 16 & 0xff) == 8);
  CHECK((leaf_of(entries, 1).edx & 1U << 28) != 0);
  CHECK(leaf_of(entries, 0xb, 0).eax == 1);
  CHECK(leaf_of(entries, 0xb, 0).ebx == 2);
  CHECK(leaf_of(entries, 0xb, 0).ecx == 0x100);
  CHECK(leaf_of(entries, 0xb, 0).edx == id);
  CHECK(leaf_of(entries, 0xb, 1).eax == 3);
  CHECK(leaf_of(entries, 0xb, 1).ebx == 6);
  CHECK(leaf_of(entries, 0xb, 1).ecx == 0x201);
  CHECK(leaf_of(entries, 0xb, 2).ebx == 0);
  CHECK((leaf_of(entries, 0xb, 1).flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0);
  CHECK(!present(entries, 0x1f));
  CHECK((leaf_of(entries, 4, 0).eax >> 14 & 0xfff) == 1);  // first level: the two threads
  CHECK((leaf_of(entries, 4, 1).eax >> 14 & 0xfff) == 7);  // third level: the die
  CHECK(leaf_of(entries, 4, 0).eax >> 26 == 3);
}

TEST_CASE("Dies have a level of their own") {
  CpuConfig config;
  config.topology = {1, 2, 2, 1};
  const Entries entries = build(config, host(false), 3);
  CHECK(leaf_of(entries, 0x1f, 1).ecx == 0x201);
  CHECK(leaf_of(entries, 0x1f, 2).ecx == 0x502);
  CHECK(leaf_of(entries, 0x1f, 2).eax == 2);
  CHECK(leaf_of(entries, 0x1f, 1).ebx == 2);
  CHECK(leaf_of(entries, 0).eax == 0x1f);
}

TEST_CASE("Topology leaves of an AMD-like processor") {
  CpuConfig config;
  config.topology = {2, 1, 4, 2};
  const Entries entries = build(config, host(true), 13);
  CHECK((leaf_of(entries, 0x80000001).ecx & 2) != 0);
  CHECK(leaf_of(entries, 0x80000008).ecx == (7 | 3 << 12));
  CHECK((leaf_of(entries, 0x8000001d, 0).eax >> 14 & 0xfff) == 1);
  CHECK((leaf_of(entries, 0x8000001d, 1).eax >> 14 & 0xfff) == 7);
  CHECK(leaf_of(entries, 0x8000001e).eax == 13);
  CHECK(leaf_of(entries, 0x8000001e).ebx == (2 | 1 << 8));
  CHECK(leaf_of(entries, 0x8000001e).ecx == 1);
  config.topology = default_topology(300);
  CHECK(leaf_of(build(config, host(true), 299), 0xb, 0).edx == 299);
  CHECK(leaf_of(build(config, host(true), 299), 1).ebx >> 24 == (299 & 0xff));
}

TEST_CASE("Hypervisor leaves") {
  CpuConfig config;
  config.tsc_khz = 2600000;
  Entries entries = build(config, host(true));
  const auto base = leaf_of(entries, 0x40000000);
  CHECK(base.eax == 0x40000010);
  char signature[13] = {};
  std::memcpy(signature, &base.ebx, 12);
  CHECK(std::string(signature) == "KVMKVMKVM");
  CHECK(leaf_of(entries, 0x40000001).eax == 0x1007efb);
  CHECK(leaf_of(entries, 0x40000010).eax == 2600000);
  CHECK(leaf_of(entries, 0x40000010).ebx == 1000000);
  CHECK(!present(entries, 0x15));  // not on this maker's processors
  config.msi_ext_dest_id = true;
  config.kvm_pv = false;
  config.tsc_khz = 0;
  entries = build(config, host(true));
  CHECK(leaf_of(entries, 0x40000001).eax == 1U << 15);
  CHECK(leaf_of(entries, 0x40000000).eax == 0x40000001);
  config.hide_hypervisor = true;
  entries = build(config, host(true));
  CHECK(!present(entries, 0x40000000));
  CHECK((leaf_of(entries, 1).ecx & 1U << 31) == 0);
}

TEST_CASE("The TSC leaves are exact or absent") {
  CpuConfig config;
  config.tsc_khz = 2600000;
  Entries entries = build(config, host(false));
  const auto ratio = leaf_of(entries, 0x15);
  CHECK(uint64_t{ratio.ecx} * ratio.ebx / ratio.eax == 2600000000);
  CHECK(leaf_of(entries, 0x16).eax == 2600);
  config.tsc_khz = 2599997;
  CHECK(!present(build(config, host(false)), 0x15));
}

TEST_CASE("Every model with all its features runs on a host that has everything") {
  for (const auto& [name, model] : cpu_map().models()) {
    INFO(name);
    const bool amd = cpu_map().vendor_id(model.vendor) != "GenuineIntel";
    HostCpu cpu = host(amd);
    cpu.supported.push_back(entry(0x14, 0, 0, 0, ~0U, 0));
    cpu.supported.push_back(entry(0xc0000001, 0, 0, 0, 0, ~0U));
    CHECK(build_cpuid(named(name), cpu, &cpu_map(), 0));
  }
}

TEST_CASE("A named model has its features, identity and no others") {
  const Entries entries = build(named("Nehalem"), host(false));
  CHECK(leaf_of(entries, 0).ebx == 0x756e6547);
  CHECK(leaf_of(entries, 1).eax == 0x000106a0);
  CHECK((leaf_of(entries, 1).ecx & 1U << 20) != 0);  // sse4.2
  CHECK((leaf_of(entries, 1).ecx & 1U << 28) == 0);  // avx
  CHECK((leaf_of(entries, 1).ecx & 1U << 31) != 0);  // hypervisor
  CHECK(leaf_of(entries, 7).ebx == 0);
  CHECK(!present(entries, 0xd));
  CHECK(!present(entries, 0x8000000a));
  CHECK(leaf_of(entries, 0).eax == 0xb);
  char brand[17] = {};
  const auto first = leaf_of(entries, 0x80000002);
  std::memcpy(brand, &first.eax, 16);
  CHECK(std::string(brand) == "Lodge virtual CP");
  CHECK(leaf_of(entries, 0x80000000).eax == 0x80000008);
}

TEST_CASE("A named model has the host's maker") {
  const Entries entries = build(named("Nehalem"), host(true));
  CHECK(leaf_of(entries, 0).ebx == 0x68747541);  // Auth...
  CHECK(leaf_of(entries, 1).eax == 0x000106a0);
  CHECK(leaf_of(build(named("EPYC"), host(false)), 0).ebx == 0x756e6547);  // Genu...
  // Threads are told in AMD's own leaf even if the model's maker has no such leaf.
  CpuConfig threads = named("Nehalem");
  threads.topology = {1, 1, 2, 2};
  const Entries told = build(threads, host(true));
  CHECK((leaf_of(told, 0x80000001).ecx & 1U << 22) != 0);
  CHECK(leaf_of(told, 0x80000000).eax >= 0x8000001e);
  CHECK((leaf_of(told, 0x8000001e).ebx >> 8 & 0xff) == 1);
}

TEST_CASE("A named model's save area holds its components only") {
  const Entries haswell = build(named("Haswell"), host(false));
  CHECK(leaf_of(haswell, 0xd, 0).eax == 7);
  CHECK(leaf_of(haswell, 0xd, 0).ecx == 832);
  CHECK(leaf_of(haswell, 0xd, 1).ecx == 0);
  CHECK(present(haswell, 0xd, 2));
  CHECK(!present(haswell, 0xd, 5));
  CHECK(!present(haswell, 0xd, 11));
  const Entries all = build(CpuConfig{}, host(false));
  CHECK(leaf_of(all, 0xd, 0).ecx == 2696);
  CHECK(present(all, 0xd, 11));
}

TEST_CASE("A model's missing features are all named in one line") {
  HostCpu cpu = host(false);
  drop(cpu, 7, &kvm_cpuid_entry2::ebx, 0x20);
  drop(cpu, 1, &kvm_cpuid_entry2::ecx, 1U << 28);
  const std::string message = error_of(named("Haswell"), cpu);
  CHECK(message.find("CPU model 'Haswell' cannot run on this host, which does not support: avx, avx2;") == 0);
  CHECK(message.find('\n') == std::string::npos);
  const Entries without = build(named("Haswell", {{"avx", FeaturePolicy::disable}, {"avx2", FeaturePolicy::optional}}), cpu);
  CHECK((leaf_of(without, 7).ebx & 0x20) == 0);
  CHECK((leaf_of(without, 7).ebx & 0x8) != 0);
  CHECK((leaf_of(build(named("Haswell", {{"avx", FeaturePolicy::force}, {"avx2", FeaturePolicy::disable}}), cpu), 1).ecx &
         1U << 28) != 0);
}

TEST_CASE("Feature requests on top of the host's processor") {
  HostCpu cpu = host(true);
  drop(cpu, 7, &kvm_cpuid_entry2::ebx, 0x20);
  CpuConfig config;
  config.features = {{"avx2", FeaturePolicy::require}};
  CHECK(error_of(config, cpu) == "CPU feature avx2 is not supported by this host; remove it from the configuration");
  config.features = {{"avx2", FeaturePolicy::optional}, {"smep", FeaturePolicy::disable}};
  CHECK((leaf_of(build(config, cpu), 7).ebx & 0xa0) == 0);
  config.features = {{"avx2", FeaturePolicy::force}};
  CHECK((leaf_of(build(config, cpu), 7).ebx & 0x20) != 0);
  config.features = {{"smep", FeaturePolicy::forbid}};
  CHECK(error_of(config, cpu).find("forbidden") != std::string::npos);
  config.features = {{"smep", FeaturePolicy::require}, {"smep", FeaturePolicy::disable}};
  CHECK(error_of(config, cpu).find("twice") != std::string::npos);
  config.features = {{"nonsense", FeaturePolicy::require}};
  CHECK(error_of(config, cpu).find("'nonsense' is unknown") != std::string::npos);
  CHECK(error_of(named("nonsense"), cpu).find("models: ") != std::string::npos);
  config.features = {{"x2apic", FeaturePolicy::disable}, {"hypervisor", FeaturePolicy::disable}};
  CHECK((leaf_of(build(config, cpu), 1).ecx & (1U << 21 | 1U << 31)) == 0);
  config.features = {{"avx512f", FeaturePolicy::disable}, {"pku", FeaturePolicy::disable}};
  CHECK(leaf_of(build(config, cpu), 0xd).eax == 7);
}

TEST_CASE("Host model keeps named bits that can migrate") {
  CpuConfig config;
  config.mode = CpuMode::host_model;
  const Entries entries = build(config, host(true));
  CHECK(leaf_of(entries, 0x80000007).edx == 0);  // invtsc only
  CHECK((leaf_of(entries, 7).ebx & 0x20) != 0);
  CHECK(leaf_of(entries, 1).eax == 0x00a20f10);
}

TEST_CASE("Feature MSRs follow the features") {
  CpuConfig config;
  const auto plain = CpuidTable::create(config, host(false), nullptr);
  REQUIRE(plain);
  CHECK(plain->feature_msrs().empty());
  config.features = {{"rdctl-no", FeaturePolicy::disable}};
  const auto changed = CpuidTable::create(config, host(false), &cpu_map());
  REQUIRE(changed);
  REQUIRE(changed->feature_msrs().size() == 1);
  CHECK(changed->feature_msrs()[0].index == 0x10a);
  CHECK(changed->feature_msrs()[0].data == ~1ULL);
}

TEST_CASE("Bad requests to the table are errors") {
  CpuConfig config;
  CHECK(!build_cpuid(config, host(true), nullptr, 1));
  config.mode = CpuMode::custom;
  CHECK(!build_cpuid(config, host(true), nullptr, 0));
  config.mode = CpuMode::host_passthrough;
  config.topology = {0, 1, 1, 1};
  CHECK(!build_cpuid(config, host(true), nullptr, 0));
  config.topology = {65535, 65535, 1, 1};
  CHECK(!build_cpuid(config, host(true), nullptr, 0));
  config.topology = {};
  CHECK(build_cpuid(config, HostCpu{}, nullptr, 0));
}

}  // namespace lodge
