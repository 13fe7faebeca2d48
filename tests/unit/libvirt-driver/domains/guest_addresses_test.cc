// Leases from files that anybody may have written.
#include "libvirt-driver/domains/guest_addresses.h"

#include <catch2/catch.hpp>

namespace lodge {

TEST_CASE("Leases that run are found, the rest is not") {
  const auto found = parse_leases(R"([
    {"ip-address": "192.168.122.7", "mac-address": "52:54:00:AA:bb:cc", "hostname": "web", "expiry-time": 2000},
    {"ip-address": "fd00::7", "mac-address": "52:54:00:aa:bb:cc", "expiry-time": 0},
    {"ip-address": "192.168.122.8", "mac-address": "52:54:00:aa:bb:cd", "expiry-time": 999}])",
                                  1000);
  REQUIRE(found.size() == 2);
  CHECK(found[0].mac == "52:54:00:aa:bb:cc");
  CHECK(found[0].ip == "192.168.122.7");
  CHECK(found[0].hostname == "web");
  CHECK_FALSE(found[0].v6);
  CHECK(found[1].v6);
}

TEST_CASE("Rubbish in lease files is left out") {
  CHECK(parse_leases("", 0).empty());
  CHECK(parse_leases("{}", 0).empty());
  CHECK(parse_leases(std::string(500'000, '['), 0).empty());
  CHECK(parse_leases(R"([1, null, [], {"ip-address": 7}, {"ip-address": "1.2.3"}, {"mac-address": []}])", 0).empty());
  const std::string long_name(300, 'a');
  CHECK(parse_leases(R"([{"ip-address": "1.2.3.4", "hostname": ")" + long_name + "\"}]", 0).empty());
}

}  // namespace lodge
