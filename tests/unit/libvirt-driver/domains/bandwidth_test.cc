#include "libvirt-driver/domains/bandwidth.h"

#include <libvirt/virterror.h>

#include <catch2/catch.hpp>

namespace lodge {
namespace {

BandwidthRate rate(uint64_t average, std::optional<uint64_t> peak = {}, std::optional<uint64_t> burst = {}) {
  return {.average = average, .peak = peak, .floor = {}, .burst = burst};
}

}  // namespace

TEST_CASE("what comes in is queued, what goes out is dropped") {
  const std::string both = bandwidth_script("vnet0", rate(1000, 2000, 512), rate(300));
  CHECK(both ==
        "qdisc add dev vnet0 root handle 1: htb default 1\n"
        "class add dev vnet0 parent 1: classid 1:1 htb rate 1000kbps ceil 2000kbps burst 512kb quantum 100000\n"
        "qdisc add dev vnet0 parent 1:1 handle 2: sfq perturb 10\n"
        "qdisc add dev vnet0 ingress\n"
        "filter add dev vnet0 parent ffff: protocol all u32 match u32 0 0 police rate 300kbps burst 300kb mtu 64kb drop "
        "flowid "
        ":1\n");
  CHECK(bandwidth_script("vnet0", rate(5), {}).find("ceil 5kbps quantum 1500\n") != std::string::npos);
  CHECK(bandwidth_script("vnet0", {}, {}).empty());
  CHECK(bandwidth_script("vnet0", rate(0), rate(0)).empty());
}

TEST_CASE("what no tap can do is refused") {
  DomainInterface interface;
  interface.type = InterfaceType::user;
  CHECK(apply_bandwidth(interface));
  interface.inbound = rate(10);
  CHECK(apply_bandwidth(interface).error().code == VIR_ERR_CONFIG_UNSUPPORTED);
  interface.type = InterfaceType::ethernet;
  interface.target = "lodge-none0";
  interface.inbound.floor = 5;
  CHECK(apply_bandwidth(interface).error().code == VIR_ERR_CONFIG_UNSUPPORTED);
  interface.inbound.floor.reset();
  CHECK(apply_bandwidth(interface).error().code == VIR_ERR_OPERATION_FAILED);  // there is no such tap
}

}  // namespace lodge
