// What is asked of libvirt's network driver, and what of its answers is taken.
#include "libvirt-driver/domains/network_port_xml.h"

#include <libvirt/virterror.h>

#include <catch2/catch.hpp>

namespace lodge {
namespace {

DomainInterface interface_on(const std::string& network) {
  DomainInterface interface;
  interface.type = InterfaceType::network;
  interface.source.network = network;
  interface.source.portid = {1, 2, 3};
  REQUIRE(from_xml("52:54:00:12:34:56", interface.mac));
  return interface;
}

std::string answer(const std::string& inside) { return "<networkport><uuid>x</uuid>" + inside + "</networkport>"; }

}  // namespace

TEST_CASE("a port is asked for with all that the network decides by") {
  DomainInterface interface = interface_on("default");
  interface.source.portgroup = "slow & cheap";
  interface.inbound.average = 100;
  interface.inbound.floor = 50;
  interface.isolated = YesNo::yes;
  interface.trust_guest_rx_filters = YesNo::no;
  CHECK(network_port_xml("web", Uuid{0xAB}, interface) == R"(<networkport>
  <uuid>01020300-0000-0000-0000-000000000000</uuid>
  <owner>
    <name>web</name>
    <uuid>ab000000-0000-0000-0000-000000000000</uuid>
  </owner>
  <group>slow &amp; cheap</group>
  <mac address='52:54:00:12:34:56'/>
  <bandwidth>
    <inbound average='100' floor='50'/>
  </bandwidth>
  <port isolated='yes'/>
  <rxfilters trustGuest='no'/>
</networkport>
)");
}

TEST_CASE("a port without wishes has no empty elements") {
  CHECK(network_port_xml("web", Uuid{}, interface_on("default")).find("bandwidth") == std::string::npos);
}

TEST_CASE("what a network gives is taken over") {
  DomainInterface interface = interface_on("default");
  interface.outbound.average = 7;
  REQUIRE(take_network_port(answer("<bandwidth><inbound average='100' peak='200'/></bandwidth><port isolated='yes'/>"
                                   "<plug type='network' bridge='virbr0' macTableManager='libvirt'/>"),
                            interface));
  CHECK(interface.source.bridge == "virbr0");
  CHECK(interface.inbound.peak == 200);
  CHECK(interface.outbound.average == 7);
  CHECK(interface.isolated == YesNo::yes);
  REQUIRE(take_network_port(answer("<plug type='bridge' bridge='br0'/>"), interface));
  CHECK(interface.source.bridge == "br0");
}

TEST_CASE("what is no tap on a Linux bridge is refused") {
  const auto [inside, says] = GENERATE(table<std::string, std::string>({
      {"", "gives no plug"},
      {"<plug type='direct' dev='eth0' mode='bridge'/>", "gives a plug of type 'direct'"},
      {"<plug type='hostdev-pci' managed='yes'/>", "gives a plug of type 'hostdev-pci'"},
      {"<plug type='network'/>", "gives a plug of type 'network'"},
      {"<plug type='bridge' bridge='../../etc'/>", "no name of a bridge"},
      {"<plug type='bridge' bridge='0123456789abcdef'/>", "no name of a bridge"},
      {"<virtualport type='openvswitch'/><plug type='bridge' bridge='ovs0'/>", "a virtual port of type 'openvswitch'"},
      {"<vlan><tag id='4'/></vlan><plug type='bridge' bridge='br0'/>", "VLAN tags"},
  }));
  DomainInterface interface = interface_on("lan");
  const auto taken = take_network_port(answer(inside), interface);
  REQUIRE(!taken);
  CHECK(taken.error().code == VIR_ERR_CONFIG_UNSUPPORTED);
  CHECK_THAT(taken.error().message(), Catch::Contains("network 'lan'") && Catch::Contains(says));
  CHECK(interface.source.bridge.empty());
}

TEST_CASE("an answer that is no port is an error") {
  DomainInterface interface = interface_on("lan");
  CHECK(!take_network_port("<network/>", interface));
  CHECK(!take_network_port("no XML", interface));
  CHECK(!take_network_port(answer("<bandwidth><inbound average='many'/></bandwidth><plug type='bridge' bridge='br0'/>"),
                           interface));
}

}  // namespace lodge
