// Which vCPUs a definition has, as it changes.
#include "libvirt-driver/domains/vcpus.h"

#include <catch2/catch.hpp>

namespace lodge {
namespace {

DomainConfig with(uint32_t count, std::optional<uint32_t> current) {
  DomainConfig config;
  config.vcpus.count = count;
  config.vcpus.current = current;
  return config;
}

std::string shown(const DomainConfig& config) {
  std::string text;
  for (const VcpuEntry& entry : all_vcpus(config.vcpus)) {
    text += entry.enabled == YesNo::yes ? (entry.hotpluggable == YesNo::yes ? '+' : '!') : '-';
  }
  return text;
}

}  // namespace

TEST_CASE("vCPUs that nobody listed are the first ones and stay") {
  CHECK(shown(with(3, std::nullopt)) == "!!!");
  CHECK(shown(with(4, 2)) == "!!--");
  CHECK_FALSE(vcpus_come_and_go(with(3, std::nullopt).vcpus));
  CHECK(vcpus_come_and_go(with(4, 2).vcpus));
  Json cpu;
  add_vcpus(cpu, with(3, std::nullopt).vcpus);
  CHECK(cpu == Json{{"count", 3}});
}

TEST_CASE("The monitor is told which vCPUs are there") {
  DomainConfig config = with(4, 1);
  REQUIRE(set_vcpu_state_config(config, IdSet{{2}}, true));
  CHECK(shown(config) == "!-+-");
  CHECK(config.vcpus.current == 2U);
  Json cpu;
  add_vcpus(cpu, config.vcpus);
  CHECK(cpu == Json{{"count", 2}, {"max", 4}, {"present", {0, 2}}});
}

TEST_CASE("A number of vCPUs is reached from the ends") {
  DomainConfig config = with(4, 1);
  REQUIRE(set_vcpus_config(config, 3, false));
  CHECK(config.vcpus.entries.empty());
  REQUIRE(set_vcpus_config(config, 4, true));
  CHECK(shown(config) == "!!!+");
  CHECK_FALSE(config.vcpus.current);
  REQUIRE(set_vcpus_config(config, 2, false));
  CHECK(shown(config) == "!!--");
  REQUIRE_FALSE(set_vcpus_config(config, 5, false));
  REQUIRE(set_max_vcpus_config(config, 3));
  CHECK(shown(config) == "!!-");
  REQUIRE(set_max_vcpus_config(config, 1));
  CHECK(shown(config) == "!");
}

TEST_CASE("A live definition has turns, and forgets who goes") {
  DomainConfig live = with(3, 2);
  enter_vcpus(live);
  CHECK(live.vcpus.entries.at(1).order == 2U);
  CHECK_FALSE(live.vcpus.entries.at(2).order);
  CHECK(forget_vcpu(live, "vcpu1"));
  CHECK(shown(live) == "!--");
  CHECK(forget_vcpu(live, "vcpu77"));
  CHECK_FALSE(forget_vcpu(live, "vcpu"));
  CHECK_FALSE(forget_vcpu(live, "vcpu1x"));
  CHECK_FALSE(forget_vcpu(live, "virtio-disk0"));
  CHECK(live.vcpus.current == 1U);
  CHECK_FALSE(set_vcpu_state_config(live, IdSet{{0}}, false));
  CHECK_FALSE(set_vcpu_state_config(live, IdSet{{3}}, true));
}

}  // namespace lodge
