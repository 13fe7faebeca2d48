// What a definition is filled in with: scalars, implied devices, addresses, aliases.
#include <algorithm>
#include <catch2/catch.hpp>

#include "base/uuid.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

Defaults host() {
  Defaults defaults;
  defaults.emulator = "/usr/libexec/lodge-vmm";
  defaults.canonical_machine = [](const std::string& name) { return name == "lodge" ? std::string("lodge-1.0") : name; };
  defaults.format_of = [](const DomainDisk& disk) {
    return std::string(disk.source.path.ends_with(".qcow2") ? "qcow2" : "raw");
  };
  defaults.random = [](std::span<uint8_t> bytes) { std::ranges::fill(bytes, uint8_t{0xab}); };
  return defaults;
}

std::string domain(std::string_view devices) {
  return fmt::format(
      "<domain type='kvm'><name>web</name><memory>1024</memory><os><type>hvm</type></os><devices>{}</devices>"
      "</domain>",
      devices);
}

DomainConfig read(std::string_view devices) {
  auto config = parse_domain(domain(devices));
  INFO((config ? "" : config.error().message()));
  REQUIRE(config);
  return *config;
}

DomainConfig completed(DomainConfig config) {
  const auto done = complete(config, host());
  INFO((done ? "" : done.error().message()));
  REQUIRE(done);
  const auto good = check(config);
  INFO((good ? "" : good.error().message()));
  REQUIRE(good);
  return config;
}

DomainConfig completed(std::string_view devices) { return completed(read(devices)); }

std::string completion_error(std::string_view devices) {
  DomainConfig config = read(devices);
  const auto done = complete(config, host());
  return done ? "" : done.error().message();
}

uint8_t slot(const DeviceInfo& info) {
  REQUIRE(info.address);
  return std::get<PciAddress>(*info.address).slot;
}

TEST_CASE("the UUID that SMBIOS shows is the domain's") {
  constexpr std::string_view kUuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
  const auto with = [](std::string_view uuid, std::string_view shown) {
    auto parsed =
        parse_domain(fmt::format("<domain type='kvm'><name>web</name>{}<memory>1024</memory><os><type>hvm</type></os>"
                                 "<sysinfo type='smbios'><system><entry name='uuid'>{}</entry></system></sysinfo>"
                                 "</domain>",
                                 uuid, shown));
    REQUIRE(parsed);
    return *parsed;
  };
  const auto refused = [](DomainConfig config) {
    REQUIRE(complete(config, host()));
    const auto good = check(config);
    REQUIRE_FALSE(good);
    CHECK(good.error().code == VIR_ERR_XML_DETAIL);
    return good.error().detail;
  };
  const std::string own = fmt::format("<uuid>{}</uuid>", kUuid);
  const DomainConfig same = completed(with(own, "C7A5FDBDEDAF9455926AD65C16DB1809"));
  CHECK(same.sysinfo->system.front().value == kUuid);
  CHECK(print_uuid(completed(with("", kUuid)).uuid) == kUuid);
  CHECK(
      refused(with(own, "c7a5fdbd-edaf-9455-926a-d65c16db1800")).starts_with("UUID mismatch between <uuid> and <sysinfo>"));
  CHECK(refused(with(own, "here-and-now")) == "malformed <sysinfo> uuid element: 'here-and-now' is no UUID");
  CHECK(refused(with("", "")).starts_with("malformed <sysinfo> uuid"));
}

constexpr std::string_view kThreeDisks = R"(
    <disk type='file' device='disk'><source file='/a.qcow2'/><target dev='vda'/></disk>
    <disk type='file' device='disk'><source file='/b.img'/><target dev='vdb'/></disk>
    <disk type='file' device='disk'><source file='/c.img'/><target dev='vdc'/></disk>)";

}  // namespace

TEST_CASE("a small definition is filled in as libvirt does") {
  const DomainConfig config = completed(R"(
    <disk type='file' device='disk'><source file='/srv/web.qcow2'/><target dev='vda'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc'/></disk>
    <interface type='network'><source network='default'/></interface>
    <console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc'/>
    <rng model='virtio'><backend model='random'/></rng>)");
  CHECK(print_domain(config) == R"(<domain type='kvm'>
  <name>web</name>
  <uuid>abababab-abab-4bab-abab-abababababab</uuid>
  <memory unit='KiB'>1024</memory>
  <currentMemory unit='KiB'>1024</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64' machine='lodge-1.0'>hvm</type>
    <boot dev='hd'/>
  </os>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/libexec/lodge-vmm</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/web.qcow2'/>
      <target dev='vda' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <target dev='hdc' bus='ide'/>
      <readonly/>
      <address type='drive' controller='0' bus='1' target='0' unit='0'/>
    </disk>
    <controller type='pci' index='0' model='pci-root'/>
    <controller type='ide' index='0'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x1'/>
    </controller>
    <controller type='virtio-serial' index='0'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x04' function='0x0'/>
    </controller>
    <interface type='network'>
      <mac address='52:54:00:ab:ab:ab'/>
      <source network='default'/>
      <model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </interface>
    <serial type='pty'>
      <target type='isa-serial' port='0'>
        <model name='isa-serial'/>
      </target>
    </serial>
    <console type='pty'>
      <target type='serial' port='0'/>
    </console>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
      <address type='virtio-serial' controller='0' bus='0' port='1'/>
    </channel>
    <input type='mouse' bus='ps2'/>
    <input type='keyboard' bus='ps2'/>
    <graphics type='vnc' port='-1' autoport='yes'>
      <listen type='address'/>
    </graphics>
    <audio id='1' type='none'/>
    <video>
      <model type='vga' vram='16384' heads='1' primary='yes'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/>
    </video>
    <memballoon model='virtio'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x06' function='0x0'/>
    </memballoon>
    <rng model='virtio'>
      <backend model='random'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'/>
    </rng>
  </devices>
</domain>
)");
  CHECK(completed(config) == config);
}

TEST_CASE("what is given stays") {
  const DomainConfig config = completed(R"(
    <emulator>/opt/vmm</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a.qcow2'/><target dev='sda' bus='sata'/></disk>
    <controller type='pci' index='0' model='pcie-root'/>
    <interface type='user'><mac address='00:16:3e:01:02:03'/><model type='e1000'/></interface>
    <memballoon model='none'/>)");
  CHECK(config.devices.emulator == "/opt/vmm");
  CHECK(config.devices.disks[0].driver.format == "raw");
  CHECK(config.devices.controllers[0].model == "pcie-root");
  CHECK(to_xml(config.devices.interfaces[0].mac) == "00:16:3e:01:02:03");
  CHECK(config.devices.interfaces[0].model == "e1000");
  CHECK_FALSE(config.devices.memballoon->address);
  CHECK(config.devices.inputs.empty());
}

TEST_CASE("without a source of random numbers of its own each definition gets another UUID and MAC") {
  DomainConfig first = read("<interface type='user'/>");
  DomainConfig second = first;
  Defaults plain = host();
  plain.random = nullptr;
  REQUIRE(complete(first, plain));
  REQUIRE(complete(second, plain));
  CHECK(first.uuid != second.uuid);
  CHECK(first.devices.interfaces[0].mac != second.devices.interfaces[0].mac);
  CHECK(to_xml(first.devices.interfaces[0].mac).starts_with("52:54:00:"));
  CHECK((first.uuid[6] >> 4) == 4);
}

TEST_CASE("interfaces of one domain get different MACs even from bad luck") {
  DomainConfig config = read("<interface type='user'/><interface type='user'/>");
  Defaults unlucky = host();
  int calls = 0;
  unlucky.random = [&calls](std::span<uint8_t> bytes) {
    std::ranges::fill(bytes, static_cast<uint8_t>(calls++ < 4 ? 1 : 2));
  };
  REQUIRE(complete(config, unlucky));
  CHECK(config.devices.interfaces[0].mac != config.devices.interfaces[1].mac);
}

TEST_CASE("memory follows the balloon's limit and the cells") {
  auto config = parse_domain(
      "<domain type='kvm'><name>n</name><memory>2048</memory><currentMemory>4096</currentMemory>"
      "<vcpu>2</vcpu><os><type>hvm</type></os></domain>");
  REQUIRE(config);
  CHECK(completed(*config).current_memory == 2048);
  config = parse_domain(
      "<domain type='kvm'><name>n</name><memory>1</memory><vcpu>2</vcpu><os><type>hvm</type></os>"
      "<cpu><numa><cell cpus='0' memory='1024'/><cell cpus='1' memory='1' unit='MiB'/></numa></cpu></domain>");
  REQUIRE(config);
  const DomainConfig full = completed(*config);
  CHECK(full.memory == 2048);
  CHECK(full.current_memory == 2048);
  CHECK(full.cpu->numa[1].id == 1U);
}

TEST_CASE("CPU models get libvirt's attributes") {
  const auto cpu = [](std::string_view element) {
    auto config = parse_domain(
        fmt::format("<domain type='kvm'><name>n</name><memory>1</memory><os><type>hvm</type></os>{}</domain>", element));
    REQUIRE(config);
    const std::string text = print_domain(completed(*config));
    const size_t begin = text.find("<cpu");
    return text.substr(begin, text.find("  <clock") - begin);
  };
  CHECK(cpu("<cpu mode='host-passthrough'/>") == "<cpu mode='host-passthrough' check='none' migratable='on'/>\n");
  CHECK(cpu("<cpu mode='host-model'/>") == "<cpu mode='host-model' check='partial'/>\n");
  CHECK(cpu("<cpu><model>Haswell</model><feature name='vmx'/></cpu>") ==
        "<cpu mode='custom' match='exact' check='partial'>\n    <model fallback='allow'>Haswell</model>\n"
        "    <feature policy='require' name='vmx'/>\n  </cpu>\n");
}

TEST_CASE("disks without a bus go where their name says") {
  const DomainConfig config = completed(R"(
    <disk><source file='/a'/><target dev='hdb'/></disk><disk><source file='/b'/><target dev='sdi'/></disk>
    <disk><source file='/c'/><target dev='vda'/></disk><disk device='floppy'><source file='/d'/><target dev='fdb'/></disk>
    <disk><source file='/e'/><target dev='sdz' bus='sata'/></disk>)");
  const auto& disks = config.devices.disks;
  CHECK(disks[0].bus == DiskBus::ide);
  CHECK(disks[0].address == DeviceAddress(DriveAddress{.unit = 1}));
  CHECK(disks[1].bus == DiskBus::scsi);
  CHECK(disks[1].address == DeviceAddress(DriveAddress{.unit = 9}));  // 7 is the controller itself
  CHECK(disks[2].bus == DiskBus::virtio);
  CHECK(disks[3].bus == DiskBus::fdc);
  CHECK(disks[3].address == DeviceAddress(DriveAddress{.unit = 1}));
  CHECK(disks[4].address == DeviceAddress(DriveAddress{.controller = 4, .unit = 1}));
  CHECK(std::ranges::count(config.devices.controllers, ControllerType::sata, &DomainController::type) == 5);
  CHECK(std::ranges::count(config.devices.controllers, ControllerType::fdc, &DomainController::type) == 1);
}

TEST_CASE("serial ports and consoles make each other") {
  SECTION("a console makes a port") {
    const DomainConfig config = completed("<console type='file'><source path='/log'/></console>");
    REQUIRE(config.devices.serials.size() == 1);
    CHECK(config.devices.serials[0].source.path == "/log");
    CHECK(config.devices.serials[0].port == 0U);
  }
  SECTION("a port makes a console") {
    const DomainConfig config = completed("<serial type='tcp'><source mode='bind' host='::1' service='4000'/></serial>");
    REQUIRE(config.devices.consoles.size() == 1);
    CHECK(config.devices.consoles[0].source.service == "4000");
    CHECK(config.devices.consoles[0].target == ConsoleTarget::serial);
  }
  SECTION("ports without number take what is free") {
    const DomainConfig config =
        completed("<serial type='pty'/><serial type='null'><target port='0'/></serial><serial type='pty'/>");
    CHECK(config.devices.serials[0].port == 1U);
    CHECK(config.devices.serials[1].port == 0U);
    CHECK(config.devices.serials[2].port == 2U);
  }
  SECTION("a virtio console stands alone") {
    const DomainConfig config = completed("<console type='pty'><target type='virtio'/></console>");
    CHECK(config.devices.serials.empty());
    CHECK(config.devices.consoles[0].address == DeviceAddress(VirtioSerialAddress{.port = 0}));
  }
}

TEST_CASE("virtio serial ports go on to another controller when one is full") {
  std::string channels = "<controller type='virtio-serial' index='0' ports='3'/>";
  for (int i = 0; i < 4; ++i) {
    channels += fmt::format("<channel type='pty'><target type='virtio' name='c{}'/></channel>", i);
  }
  const DomainConfig config = completed(channels);
  CHECK(config.devices.channels[1].address == DeviceAddress(VirtioSerialAddress{.port = 2}));
  CHECK(config.devices.channels[2].address == DeviceAddress(VirtioSerialAddress{.controller = 1, .port = 1}));
  CHECK(config.devices.controllers.back().index == 1U);
}

TEST_CASE("USB devices bring a controller and sit on its ports") {
  const DomainConfig config =
      completed("<input type='tablet'/><input type='keyboard' bus='usb'><address type='usb' bus='0' port='1'/></input>");
  CHECK(config.devices.inputs[0].address == DeviceAddress(UsbAddress{.bus = 0, .port = "2"}));
  const auto usb = std::ranges::find(config.devices.controllers, ControllerType::usb, &DomainController::type);
  REQUIRE(usb != config.devices.controllers.end());
  CHECK(usb->model == "qemu-xhci");
  CHECK(completion_error("<controller type='usb' model='none'/><input type='tablet'/>") ==
        "unsupported configuration: USB is disabled for this domain, but USB devices are present in the domain XML");
}

TEST_CASE("addresses stay when a device in the middle goes, and its slot is used again") {
  DomainConfig config = completed(kThreeDisks);
  const uint8_t middle = slot(config.devices.disks[1]);
  const uint8_t last = slot(config.devices.disks[2]);
  const uint8_t balloon = slot(*config.devices.memballoon);
  DomainDisk gone;
  gone.target = "vdb";
  REQUIRE(remove_device(config, gone));
  config = completed(config);
  CHECK(slot(config.devices.disks[1]) == last);
  CHECK(slot(*config.devices.memballoon) == balloon);
  const auto added = parse_device("<disk><source file='/d'/><target dev='vdd'/></disk>");
  REQUIRE(added);
  REQUIRE(add_device(config, *added));
  CHECK(slot(completed(config).devices.disks[2]) == middle);
}

TEST_CASE("PCI addresses that collide or lead nowhere are refused by name") {
  const auto two = [](std::string_view first, std::string_view second) {
    return completion_error(
        fmt::format("<interface type='user'><address type='pci' {}/></interface>"
                    "<interface type='user'><address type='pci' {}/></interface>",
                    first, second));
  };
  CHECK(two("slot='5'", "slot='5'") == "XML error: Attempted double use of PCI Address 0000:00:05.0");
  CHECK(two("slot='5'", "slot='5' function='1'") ==
        "XML error: Attempted double use of PCI Address 0000:00:05.1 (may need \"multifunction='on'\" for device on "
        "function 0)");
  CHECK(two("slot='5' multifunction='on'", "slot='5' function='0x1'").empty());
  CHECK(two("slot='5' function='1'", "slot='5' function='1'") ==
        "XML error: Attempted double use of PCI Address 0000:00:05.1");
  CHECK(two("slot='0' function='1'", "slot='6'") == "XML error: Invalid PCI address 0000:00:00.1. slot must be >= 1");
  CHECK(two("slot='31'", "slot='6'") ==
        "unsupported configuration: PCI address 0000:00:1f.0: slot 31 is not offered, the last is 30");
  CHECK(two("bus='2' slot='1'", "slot='6'") ==
        "XML error: PCI address 0000:02:01.0: no <controller type='pci' index='2'> makes this bus");
  CHECK(two("domain='1' slot='1'", "slot='6'") ==
        "XML error: Invalid PCI address 0001:00:01.0. Only PCI domain 0 is available");
  CHECK(completion_error("<input type='mouse' bus='ps2'><address type='pci' slot='5'/></input>") ==
        "XML error: input: it is no PCI device, but has the PCI address 0000:00:05.0");
  CHECK(completion_error("<rng><backend model='random'/><address type='isa'/></rng>") ==
        "XML error: rng: its address must be of type 'pci'");
  CHECK(completion_error("<controller type='pci' index='1' model='pcie-root-port'/>"
                         "<interface type='user'><address type='pci' bus='1' slot='0' function='0'/></interface>")
            .empty());
}

TEST_CASE("a bus that is full is told") {
  std::string interfaces;
  for (int i = 0; i < 28; ++i) {
    interfaces += "<interface type='user'/>";
  }
  CHECK(completion_error(interfaces).empty());  // slots 2 to 29, and 30 for the balloon
  CHECK(completion_error(interfaces + "<interface type='user'/>") ==
        "unsupported configuration: No more available PCI slots: bus 0 has 29");
}

TEST_CASE("other addresses that collide are refused by name") {
  CHECK(
      completion_error("<disk><source file='/a'/><target dev='hda'/></disk><disk><source file='/b'/><target dev='hdb'/>"
                       "<address type='drive' controller='0' bus='0' unit='0'/></disk>") ==
      "XML error: Found duplicate drive address for disk with target name 'hdb' controller='0' bus='0' target='0' unit='0'");
  CHECK(completion_error("<disk><source file='/a'/><target dev='hde'/></disk>") ==
        "unsupported configuration: disk hde: Only a single IDE controller is supported for this machine type");
  CHECK(completion_error(
            "<disk><source file='/a'/><target dev='sda'/><address type='drive' controller='4000000000'/></disk>") ==
        "unsupported configuration: disk sda: controller 4000000000 is beyond the last, 31");
  CHECK(completion_error("<disk><source file='/a'/><target dev='hd1'/></disk>") ==
        "XML error: Unknown disk name 'hd1' and no address specified");
  CHECK(completion_error("<disk><source file='/a'/><target dev='hda'/><address type='pci' slot='4'/></disk>") ==
        "XML error: disk hda: bus ide wants an address of type 'drive'");
  CHECK(completion_error("<disk><source file='/a'/></disk>") ==
        "XML error: a disk has no <target dev=>; it names the disk, such as vda");
  const std::string port =
      "<channel type='pty'><target type='virtio' name='{}'/><address type='virtio-serial' port='3'/></channel>";
  CHECK(completion_error(port + port) == "XML error: virtio serial port 3 on controller 0 is already occupied");
  const std::string usb = "<input type='tablet' bus='usb'><address type='usb' bus='0' port='1'/></input>";
  CHECK(completion_error(usb + usb) == "XML error: Duplicate USB address bus 0 port 1");
}

TEST_CASE("aliases are libvirt's") {
  DomainConfig config = completed(R"(
    <disk><source file='/a'/><target dev='vdb'/></disk>
    <disk device='cdrom'><target dev='hdc'/></disk><disk><source file='/b'/><target dev='sdb'/></disk>
    <disk><source file='/c'/><target dev='sdc' bus='sata'/></disk>
    <disk><source file='/k'/><target dev='sdd' bus='usb'/></disk>
    <disk device='floppy'><target dev='fda'/></disk>
    <interface type='user'/><interface type='user'><alias name='ua-up'/></interface><interface type='user'/>
    <console type='pty'/><console type='pty'><target type='virtio'/></console>
    <channel type='pty'><target type='virtio' name='x'/></channel><graphics type='vnc'/>
    <rng model='virtio'><backend model='random'/></rng><watchdog model='i6300esb'/><panic/>)");
  assign_aliases(config);
  const auto aliases = [](const auto& list) {
    std::string text;
    for (const auto& device : list) {
      text += device.alias + " ";
    }
    return text;
  };
  const DomainDevices& devices = config.devices;
  CHECK(aliases(devices.disks) == "virtio-disk1 ide0-1-0 scsi0-0-0-1 sata0-0-2 usb-disk3 fdc0-0-0 ");
  CHECK(aliases(devices.interfaces) == "net0 ua-up net1 ");
  CHECK(aliases(devices.serials) == "serial0 ");
  CHECK(aliases(devices.consoles) == "serial0 console1 ");
  CHECK(aliases(devices.channels) == "channel0 ");
  CHECK(aliases(devices.inputs) == "input0 input1 ");
  CHECK(aliases(devices.videos) == "video0 ");
  CHECK(aliases(devices.rngs) == "rng0 ");
  CHECK(aliases(devices.watchdogs) == "watchdog0 ");
  CHECK(aliases(devices.panics) == "panic0 ");
  CHECK(devices.memballoon->alias == "balloon0");
  const std::string controllers = aliases(devices.controllers);
  for (const char* name : {"pci.0 ", "usb ", "ide ", "scsi0 ", "sata0 ", "fdc0 ", "virtio-serial0 "}) {
    INFO(name);
    CHECK(controllers.find(name) != std::string::npos);
  }
  CHECK(check(config));

  // A device that comes later does not get the name of one that is there.
  config.devices.interfaces.erase(config.devices.interfaces.begin());
  REQUIRE(add_device(config, DomainInterface{}));
  config = completed(config);
  assign_aliases(config);
  CHECK(aliases(config.devices.interfaces) == "ua-up net1 net2 ");
}

}  // namespace lodge
