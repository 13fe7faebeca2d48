#include "vmm/cpu/topology.h"

#include <catch2/catch.hpp>
#include <set>

namespace lodge {

TEST_CASE("APIC ids follow the fields of each level") {
  const Topology topology{2, 2, 3, 2};
  const ApicIdLayout layout = apic_id_layout(topology);
  CHECK(layout.core_shift == 1);
  CHECK(layout.die_shift == 3);
  CHECK(layout.package_shift == 4);
  CHECK(x2apic_id(topology, 0) == 0);
  CHECK(x2apic_id(topology, 1) == 1);
  CHECK(x2apic_id(topology, 2) == 2);
  CHECK(x2apic_id(topology, 6) == 8);    // second die
  CHECK(x2apic_id(topology, 12) == 16);  // second socket
  CHECK(x2apic_id(topology, 23) == 16 + 8 + 4 + 1);
}

TEST_CASE("APIC ids are distinct and, by default, the vCPU numbers") {
  for (const Topology& topology :
       {Topology{1, 1, 1, 1}, Topology{3, 1, 5, 1}, Topology{2, 3, 5, 3}, Topology{1, 1, 4096, 1}}) {
    std::set<uint32_t> ids;
    for (uint32_t i = 0; i < topology.total(); ++i) {
      ids.insert(x2apic_id(topology, i));
    }
    CHECK(ids.size() == topology.total());
    CHECK(*ids.rbegin() < 65536);
  }
  CHECK(x2apic_id(default_topology(300), 299) == 299);
  CHECK(x2apic_id(Topology{1, 1, 8, 2}, 15) == 15);
}

TEST_CASE("Topologies that do not match are refused") {
  CHECK(validate_topology({1, 1, 2, 2}, 4));
  const auto wrong = validate_topology({1, 1, 2, 2}, 5);
  REQUIRE(!wrong);
  CHECK(wrong.error().message.find("makes 4 vCPUs, but 5") != std::string::npos);
  CHECK(!validate_topology({0, 1, 1, 1}, 0));
  CHECK(!validate_topology({1, 0, 1, 1}, 1));
  CHECK(!validate_topology({1, 1, 1, 5000}, 5000));
  CHECK(!validate_topology({65536, 65536, 65536, 65536}, 0));
  CHECK(!validate_topology({65536, 65536, 1, 1}, 1));
}

}  // namespace lodge
