// Attaching, detaching and changing devices by documents as stock clients send them.
#include <catch2/catch.hpp>

#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

DomainConfig running() {
  auto config = parse_domain(R"(<domain type='kvm'><name>web</name><memory>1024</memory><os><type>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda'/><boot order='2'/></disk>
    <disk type='file' device='cdrom'><source file='/cd.iso'/><target dev='hda' bus='ide'/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><boot order='1'/></interface>
    <interface type='user'><mac address='52:54:00:00:00:02'/></interface>
    <interface type='user'><mac address='52:54:00:00:00:02'/></interface>
    <console type='pty'/><channel type='pty'><target type='virtio' name='one'/></channel>
    <graphics type='vnc' port='5901'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices></domain>)");
  REQUIRE(config);
  REQUIRE(complete(*config, {}));
  REQUIRE(check(*config));
  assign_aliases(*config);
  return *config;
}

Device device(std::string_view xml) {
  auto parsed = parse_device(xml, {.live = true});
  INFO(xml);
  INFO((parsed ? "" : parsed.error().message()));
  REQUIRE(parsed);
  return *parsed;
}

std::string failed(const Answer<void>& answer) { return answer ? "" : answer.error().message(); }

}  // namespace

TEST_CASE("a disk is added once, and its place is chosen afterwards") {
  DomainConfig config = running();
  const Device disk =
      device("<disk type='file'>\n  <driver type='qcow2'/>\n  <source file='/d2'/>\n  <target dev='vdb'/>\n</disk>\n");
  REQUIRE(add_device(config, disk));
  CHECK(failed(add_device(config, disk)) == "Requested operation is not valid: target vdb already exists");
  REQUIRE(complete(config, {}));
  assign_aliases(config);
  CHECK(config.devices.disks.back().alias == "virtio-disk1");
  CHECK(config.devices.disks.back().address);
  CHECK(check(config));
}

TEST_CASE("a disk is removed by its target, whatever else the document says") {
  DomainConfig config = running();
  const Device disk = device("<disk type='file'><source file='/other'/><target dev='vda' bus='virtio'/></disk>");
  REQUIRE(remove_device(config, disk));
  CHECK(config.devices.disks.size() == 1);
  const auto again = remove_device(config, disk);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == VIR_ERR_DEVICE_MISSING);
  CHECK(again.error().detail == "disk vda not found");
}

TEST_CASE("a document printed of the running domain finds its device") {
  DomainConfig config = running();
  const Device printed = device(print_device(config.devices.disks[0], {.live = true}));
  CHECK(find_device(config, printed) == Device(config.devices.disks[0]));
  for (const DomainInterface& interface : config.devices.interfaces) {
    CHECK(find_device(config, device(print_device(interface, {.live = true}))) == Device(interface));
  }
  const Device serial = device(print_device(config.devices.serials[0], {.live = true}));
  CHECK(find_device(config, serial) == Device(config.devices.serials[0]));
  CHECK(find_device(config, device(print_device(config.devices.channels[0], {.live = true}))));
  CHECK(find_device(config, device(print_device(config.devices.rngs[0], {.live = true}))));
  CHECK(find_device(config, device(print_device(*config.devices.memballoon, {.live = true}))));
}

TEST_CASE("interfaces match by MAC, and by address when there are two") {
  DomainConfig config = running();
  CHECK(failed(remove_device(config, device("<interface type='user'><mac address='52:54:00:00:00:02'/></interface>"))) ==
        "operation failed: multiple devices matching MAC address 52:54:00:00:00:02 found");
  CHECK(failed(remove_device(config, device("<interface type='user'><mac address='52:54:00:00:00:09'/></interface>"))) ==
        "device not found: device matching MAC address 52:54:00:00:00:09 not found");
  CHECK(failed(remove_device(config, device("<interface type='user'/>"))).starts_with("device not found: "));
  DomainInterface last = config.devices.interfaces[2];
  last.alias.clear();
  REQUIRE(remove_device(config, last));
  CHECK(config.devices.interfaces.size() == 2);
  CHECK(config.devices.interfaces[1].alias == "net1");
  CHECK(remove_device(config, device("<interface type='user'><alias name='net1'/></interface>")));
  CHECK(config.devices.interfaces.size() == 1);
}

TEST_CASE("a medium is changed and the drive stays where it is") {
  DomainConfig config = running();
  const DomainDisk before = config.devices.disks[1];
  REQUIRE(update_device(config, device("<disk type='file' device='cdrom'><target dev='hda'/><readonly/></disk>")));
  const DomainDisk& after = config.devices.disks[1];
  CHECK_FALSE(after.has_medium());
  CHECK(after.bus == DiskBus::ide);
  CHECK(after.address == before.address);
  CHECK(after.alias == before.alias);
  CHECK(failed(update_device(config, device("<disk device='cdrom'><target dev='hdz'/></disk>"))) ==
        "device not found: disk hdz not found");
}

TEST_CASE("a link is set and the interface keeps MAC, model, place and boot order") {
  DomainConfig config = running();
  const DomainInterface before = config.devices.interfaces[0];
  REQUIRE(update_device(
      config, device("<interface type='user'><mac address='52:54:00:00:00:01'/><link state='down'/></interface>")));
  const DomainInterface& after = config.devices.interfaces[0];
  CHECK(after.link == LinkState::down);
  CHECK(after.model == before.model);
  CHECK(after.address == before.address);
  CHECK(after.boot_order == 1U);
}

TEST_CASE("a graphics password and a balloon's period are changed in place") {
  DomainConfig config = running();
  REQUIRE(update_device(config, device("<graphics type='vnc' port='5901' passwd='new'/>")));
  CHECK(config.devices.graphics[0].password == "new");
  REQUIRE(update_device(config, device("<memballoon model='virtio'><stats period='3'/></memballoon>")));
  CHECK(config.devices.memballoon->stats_period == 3U);
  CHECK(config.devices.memballoon->alias == "balloon0");
}

TEST_CASE("a serial port and its console go together") {
  DomainConfig config = running();
  REQUIRE(remove_device(config, device("<serial type='pty'/>")));
  CHECK(config.devices.serials.empty());
  CHECK(config.devices.consoles.empty());
  config = running();
  REQUIRE(remove_device(config, device("<console type='pty'><target type='serial'/></console>")));
  CHECK(config.devices.serials.empty());
}

TEST_CASE("what there can be only one of is added once, what is built in never") {
  DomainConfig config = running();
  REQUIRE(add_device(config, device("<watchdog model='i6300esb'/>")));
  CHECK(failed(add_device(config, device("<watchdog model='i6300esb'/>"))) ==
        "Requested operation is not valid: domain already has a watchdog");
  CHECK(failed(add_device(config, device("<memballoon model='virtio'/>"))) ==
        "Requested operation is not valid: domain already has a memory balloon");
  CHECK(failed(add_device(config, device("<controller type='pci' index='0' model='pci-root'/>"))) ==
        "Requested operation is not valid: controller pci:0 already exists");
  CHECK(failed(add_device(config, device("<graphics type='vnc'/>"))) ==
        "Operation not supported: attach of device 'graphics' is not supported");
  CHECK(failed(remove_device(config, device("<memballoon model='virtio'/>"))) ==
        "Operation not supported: detach of device 'memballoon' is not supported");
}

TEST_CASE("devices are found by alias") {
  const DomainConfig config = running();
  const auto found = find_alias(config, "net1");
  REQUIRE(found);
  CHECK(to_xml(std::get<DomainInterface>(*found).mac) == "52:54:00:00:00:02");
  const auto missing = find_alias(config, "net9");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message() == "device not found: no device found with alias net9");
  CHECK_FALSE(find_alias(config, ""));
}

}  // namespace lodge
