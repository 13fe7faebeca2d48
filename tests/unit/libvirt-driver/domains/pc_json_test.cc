// What the monitor is told of a pc that starts with a BIOS: firmware, the order of booting, IDE drives, the screen.
#include <catch2/catch.hpp>

#include "libvirt-driver/domains/boot_json.h"
#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"

namespace lodge {
namespace {

Answer<DomainConfig> domain_of(std::string_view os, std::string_view devices, std::string_view type = "hvm") {
  const std::string xml = fmt::format(
      "<domain type='kvm'><name>m</name><memory unit='MiB'>64</memory><os{}>{}</os><devices>{}</devices></domain>",
      os.starts_with("@") ? os.substr(1, os.find('<') - 1) : "",
      fmt::format("<type>{}</type>{}", type, os.substr(std::min(os.find('<'), os.size()))), devices);
  DomainConfig config = TRY(parse_domain(xml));
  Defaults host;
  host.machine = "pc";
  TRY_VOID(complete(config, host));
  TRY_VOID(check(config));
  assign_aliases(config);
  return config;
}

Answer<Json> machine_of(std::string_view os, std::string_view devices) {
  MachineFds fds;
  fds.firmware = 7;
  fds.video_rom = 8;
  fds.roms["net0"] = 9;
  return machine_json(TRY(domain_of(os, devices)), fds);
}

Json good(std::string_view os, std::string_view devices) {
  const auto machine = machine_of(os, devices);
  INFO((machine ? std::string() : machine.error().message()));
  REQUIRE(machine.has_value());
  return *machine;
}

std::string refusal(std::string_view os, std::string_view devices) {
  const auto machine = machine_of(os, devices);
  REQUIRE(!machine.has_value());
  CHECK(machine.error().code == VIR_ERR_CONFIG_UNSUPPORTED);
  return machine.error().message();
}

bool names(const std::string& message, std::string_view path) { return message.find(path) != std::string::npos; }

constexpr std::string_view kDrives =
    "<disk type='file' device='cdrom'><source file='/cd'/><target dev='hdc' bus='ide'/></disk>"
    "<disk type='file' device='disk'><source file='/a'/><target dev='hdb' bus='ide'/><serial>S</serial></disk>"
    "<disk type='file' device='disk'><source file='/b'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='file' device='cdrom'><target dev='hdd' bus='ide'/></disk>"
    "<interface type='ethernet'><model type='virtio'/></interface>";

// The place of each disk, then of the interface; 0: none.
std::vector<int> places(const Json& machine) {
  std::vector<int> found;
  for (const Json& disk : machine["disks"]) {
    found.push_back(disk.value("boot", 0));
  }
  found.push_back(machine["nets"][0].value("boot", 0));
  return found;
}

}  // namespace

TEST_CASE("a domain without a kernel starts with a BIOS") {
  const Json machine =
      good("<bootmenu enable='yes' timeout='3000'/><bios useserial='yes' rebootTimeout='0'/>", "<serial type='pty'/>");
  CHECK(machine["machine"] == "pc");
  CHECK(!machine.contains("boot"));
  CHECK(machine["firmware"] == Json({{"kind", "bios"},
                                     {"path", "/usr/share/seabios/bios-256k.bin"},
                                     {"fd", 7},
                                     {"serial", true},
                                     {"menu", true},
                                     {"menu_wait_ms", 3000},
                                     {"reboot_wait_ms", 1}}));
  CHECK(good("@ firmware='bios'<loader type='rom'>/my/bios</loader>", "")["firmware"]["path"] == "/my/bios");
  CHECK(!good("<bios rebootTimeout='-1'/>", "")["firmware"].contains("reboot_wait_ms"));
}

TEST_CASE("the order of booting is libvirt's") {
  CHECK(places(good("", kDrives)) == std::vector{0, 1, 0, 0, 0});  // hd
  CHECK(places(good("<boot dev='cdrom'/><boot dev='network'/><boot dev='fd'/><boot dev='hd'/>", kDrives)) ==
        std::vector{1, 3, 0, 0, 2});
  const std::string devices =
      "<disk type='file' device='disk'><source file='/a'/><target dev='hda' bus='ide'/><boot order='70000'/></disk>"
      "<interface type='ethernet'><model type='virtio'/><boot order='2'/></interface>";
  const Json machine = good("", devices);
  CHECK(places(machine) == std::vector{2, 1});
  CHECK(machine["nets"][0]["rom_fd"] == 9);
  CHECK(places(good("<kernel>/k</kernel>", devices)) == std::vector{0, 0});
}

TEST_CASE("IDE drives are where their addresses say") {
  const Json disks = good("", kDrives)["disks"];
  CHECK(disks[0] == Json({{"id", "ide0-1-0"},
                          {"read_only", true},
                          {"shareable", false},
                          {"path", "/cd"},
                          {"bus", "ide"},
                          {"device", "cdrom"},
                          {"channel", 2},
                          {"unit", 1}}));
  CHECK(disks[1]["serial"] == "S");
  CHECK(disks[1]["channel"] == 1);
  CHECK(disks[1]["unit"] == 2);
  CHECK(!disks[1].contains("slot"));
  CHECK(disks[3]["device"] == "cdrom");
  CHECK(!disks[3].contains("path"));
  const std::string moved =
      "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><address type='drive' bus='1' unit='1'/></disk>";
  CHECK(good("", moved)["disks"][0]["channel"] == 2);
}

TEST_CASE("floppy drives are the controller's two, with a medium or empty") {
  const std::string drives =
      "<disk type='file' device='floppy'><target dev='fdb'/></disk>"
      "<disk type='file' device='floppy'><source file='/f'/><target dev='fda' bus='fdc'/><readonly/></disk>"
      "<interface type='ethernet'/>";
  const Json machine = good("<boot dev='fd'/><boot dev='network'/>", drives);
  for (const Json& disk : machine["disks"]) {
    const bool first = disk["id"] == "fdc0-0-0";
    CHECK(disk["bus"] == "fdc");
    CHECK(disk["device"] == "floppy");
    CHECK(disk["unit"] == (first ? 1 : 2));
    CHECK(disk["read_only"] == first);
    CHECK(disk.contains("path") == first);
    CHECK(!disk.contains("slot"));
    CHECK(!disk.contains("channel"));
  }
  CHECK(machine["nets"][0]["boot"] == 2);
  CHECK(good("<kernel>/k</kernel>", drives)["disks"].size() == 2);
  CHECK(places(good("",
                    "<disk type='file' device='floppy'><target dev='fdb'/><boot order='3'/></disk>"
                    "<interface type='ethernet'><boot order='2'/></interface>")) == std::vector{2, 1});
  auto microvm = domain_of("<kernel>/k</kernel>", "<disk type='file' device='floppy'><target dev='fda'/></disk>");
  REQUIRE(microvm.has_value());
  microvm->os.machine = "microvm";
  const auto refused = machine_json(*microvm, MachineFds());
  REQUIRE(!refused.has_value());
  CHECK(names(refused.error().message(), "/domain/devices/controller[@type='fdc']"));
}

TEST_CASE("cards are virtio's unless another one is named") {
  const auto net = [](std::string_view inside, std::string_view boot = "") {
    return good(
        boot, fmt::format("<interface type='ethernet'><mac address='52:54:00:00:00:01'/>{}</interface>", inside))["nets"][0];
  };
  CHECK(net("")["model"] == "virtio");
  CHECK(net("<model type='virtio-transitional'/>")["model"] == "virtio");
  CHECK(net("<model type='virtio-transitional'/>")["version"] == "transitional");
  for (const char* const model : {"e1000", "rtl8139"}) {
    const Json card =
        net(fmt::format("<model type='{}'/><driver name='qemu' queues='1'/><mtu size='1400'/>"
                        "<link state='down'/><address type='pci' slot='9'/>",
                        model));
    CHECK(card["model"] == model);
    CHECK(card["link"] == false);
    CHECK(card["slot"] == 9);
    CHECK(!card.contains("version"));
    CHECK(!card.contains("mtu"));
    CHECK(!card.contains("rom"));
    const std::string chosen = fmt::format("<model type='{}'/>", model);
    const std::string usual = fmt::format("/usr/lib/ipxe/qemu/pxe-{}.rom", model);
    CHECK(net(chosen, "<boot dev='network'/>")["rom"] == usual);
    CHECK(net(chosen + "<rom bar='off'/>", "<boot dev='network'/>")["rom"] == usual);
    CHECK(net(chosen + "<rom file='/my.rom'/>", "<boot dev='network'/>")["rom"] == "/my.rom");
    CHECK(net(chosen + "<rom enabled='no'/>", "<boot dev='network'/>")["rom"] == "");
  }
  CHECK(net("", "<boot dev='network'/>")["rom"] == "/usr/lib/ipxe/qemu/pxe-virtio.rom");
}

TEST_CASE("cards refuse by the element's path what they have not") {
  const auto said = [](std::string_view inside) {
    return refusal("", fmt::format("<interface type='ethernet'><mac address='52:54:00:00:00:01'/>{}</interface>", inside));
  };
  const std::string path = "/domain/devices/interface[mac/@address='52:54:00:00:00:01']";
  CHECK(names(said("<model type='ne2k_pci'/>"), path + "/model/@type: "));
  CHECK(names(said("<model type='ne2k_pci'/>"), "'e1000'"));
  CHECK(names(said("<model type='virtio-fast'/>"), path + "/model/@type: "));
  CHECK(names(said("<model type='e1000'/><driver name='vhost'/>"), path + "/driver/@name: "));
  CHECK(names(said("<model type='rtl8139'/><driver queues='2'/>"), path + "/driver/@queues: "));
  CHECK(names(said("<model type='e1000'/><driver packed='on'/>"), path + "/driver/@packed: "));
  CHECK(names(said("<model type='e1000'/><rom bar='on'/>"), path + "/rom/@bar: "));
}

TEST_CASE("virtio input devices have a slot and a ring, in a pc and in a microvm") {
  const std::string all =
      "<input type='keyboard' bus='virtio'/><input type='tablet' bus='virtio' model='virtio-non-transitional'>"
      "<driver packed='on'/><address type='pci' slot='9'/></input><input type='mouse' bus='virtio' model='virtio'/>";
  const Json inputs = good("", all)["inputs"];
  REQUIRE(inputs.size() == 3);
  CHECK((inputs[0]["id"] == "input0" && inputs[0]["kind"] == "keyboard" && inputs[0]["ring"] == "split"));
  CHECK((inputs[0].contains("slot") && inputs[0]["slot"] != inputs[2]["slot"]));
  CHECK(inputs[1] == Json({{"id", "input1"}, {"kind", "tablet"}, {"ring", "packed"}, {"slot", 9}}));
  CHECK(inputs[2]["kind"] == "mouse");
  auto microvm = domain_of("<kernel>/k</kernel>", all);
  REQUIRE(microvm.has_value());
  microvm->os.machine = "microvm";
  CHECK(machine_json(*microvm, MachineFds()).has_value());
  CHECK(!good("", "<input type='mouse' bus='ps2'/>").contains("inputs"));
  CHECK(
      names(refusal("", "<input type='mouse' bus='virtio' model='virtio-transitional'/>"), "/domain/devices/input/@model"));
  CHECK(names(refusal("", "<input type='mouse' bus='virtio'><driver iommu='on'/></input>"),
              "/domain/devices/input/driver/@iommu"));
}

TEST_CASE("the screen is a VGA at slot 2, USB devices are at its controller, and what there is not is left out") {
  auto config = domain_of("", "<video/><input type='tablet' bus='usb'/><input type='mouse' bus='ps2'/>");
  REQUIRE(config.has_value());
  CHECK(leave_out(*config).empty());
  CHECK(config->devices.inputs.size() == 2);
  MachineFds fds;
  fds.video_rom = 8;
  const auto machine = machine_json(*config, fds);
  REQUIRE(machine.has_value());
  CHECK((*machine)["video"]["memory_mib"] == 16);
  CHECK((*machine)["video"]["slot"] == 2);
  CHECK((*machine)["video"]["rom_fd"] == 8);
  CHECK((*machine)["usb"]["ports"] == 15);
  CHECK((*machine)["usb"].contains("slot"));
  REQUIRE((*machine)["usb_devices"].size() == 1);
  CHECK((*machine)["usb_devices"][0]["kind"] == "tablet");
  CHECK((*machine)["usb_devices"][0]["port"] == 1);
  CHECK(!good("", "<controller type='usb' model='none'/>").contains("usb"));
  const Json disk =
      good("",
           "<controller type='usb' ports='2'/><disk type='file'><source file='/s'/><target dev='sda' bus='usb'/>"
           "<address type='usb' bus='0' port='2'/></disk>");
  CHECK((disk["usb"]["ports"] == 2 && disk["disks"][0]["bus"] == "usb" && disk["disks"][0]["port"] == 2));
  const Json uhci = good("", "<controller type='usb' model='piix3-uhci'/><input type='tablet' bus='usb'/>");
  CHECK((uhci["usb"]["model"] == "piix3-uhci" && uhci["usb"]["ports"] == 2 && !uhci["usb"].contains("slot")));
  CHECK((uhci["usb_devices"].size() == 1 && uhci["usb_devices"][0]["port"] == 1));
  CHECK(good("", "<video><model type='vga' vram='20000'/></video>")["video"]["memory_mib"] == 32);
  CHECK(!good("", "<video><model type='none'/></video>").contains("video"));
  auto kernel = domain_of("<kernel>/k</kernel>", "<video/><input type='keyboard' bus='ps2'/>");
  REQUIRE(kernel.has_value());
  CHECK(leave_out(*kernel) == std::vector<std::string>{"ps2 keyboard"});
}

TEST_CASE("a virtio screen is a VGA, too, in a pc, and itself in a microvm") {
  const std::string screen =
      "<graphics type='vnc'/><video><driver packed='on'/><model type='virtio'><resolution x='1920' y='1080'/></model>"
      "</video>";
  const Json video = good("<kernel>/k</kernel>", screen)["video"];
  CHECK(video == Json({{"enabled", true},
                       {"model", "virtio-vga"},
                       {"rom", "/usr/share/seabios/vgabios-virtio.bin"},
                       {"rom_fd", 8},
                       {"slot", 2},
                       {"width", 1920},
                       {"height", 1080},
                       {"ring", "packed"}}));
  CHECK(good("", "<video><model type='virtio'/></video>")["video"]["model"] == "virtio-vga");
  auto microvm = domain_of("<kernel>/k</kernel>", screen);
  REQUIRE(microvm.has_value());
  microvm->os.machine = "microvm";
  const auto machine = machine_json(*microvm, MachineFds());
  REQUIRE(machine.has_value());
  CHECK((*machine)["video"]["model"] == "virtio");
  microvm->devices.videos.front().model = VideoModel::vga;
  const auto vga = machine_json(*microvm, MachineFds());
  REQUIRE(!vga.has_value());
  CHECK(names(vga.error().message(), "/domain/devices/video: machine 'microvm' has no VGA"));
  const auto said = [](std::string_view inside) {
    return refusal("<kernel>/k</kernel>", fmt::format("<video>{}</video>", inside));
  };
  const std::string path = "/domain/devices/video/model";
  CHECK(names(said("<model type='virtio'><acceleration accel3d='yes'/></model>"), path + "/acceleration/@accel3d"));
  CHECK(names(said("<model type='virtio' blob='on'/>"), path + "/@blob"));
  CHECK(names(said("<model type='virtio' heads='2'/>"), path + "/@heads"));
  CHECK(names(said("<model type='virtio'><resolution x='3841' y='100'/></model>"), path + "/resolution"));
  CHECK(names(said("<model type='virtio'><resolution x='100' y='63'/></model>"), path + "/resolution"));
  CHECK(names(said("<driver ats='on'/><model type='virtio'/>"), "/domain/devices/video/driver/@ats"));
}

TEST_CASE("a pc refuses by the element's path what it has not") {
  CHECK(names(refusal("<loader type='pflash' readonly='no'>/ovmf</loader>", ""), "/domain/os/loader/@readonly"));
  CHECK(names(refusal("<loader type='tape'>/ovmf</loader>", ""), "/domain/os/loader/@type"));
  CHECK(names(refusal("@ firmware='efi'<loader type='rom'>/ovmf</loader>", ""), "/domain/os/loader/@type"));
  CHECK(names(refusal("@ firmware='efi'<nvram format='qcow2'>/v</nvram>", ""), "/domain/os/nvram/@format"));
  CHECK(names(refusal("<loader>/b</loader><nvram>/vars</nvram>", ""), "/domain/os/nvram"));
  CHECK(names(refusal("<loader secure='yes'>/b</loader>", ""), "/domain/os/loader/@secure"));
  CHECK(names(refusal("<loader>/b</loader><kernel>/k</kernel>", ""), "/domain/os/loader"));
  CHECK(names(refusal("", "<video><model type='cirrus'/></video>"), "/domain/devices/video/model/@type"));
  CHECK(names(refusal("", "<video/><video/>"), "/domain/devices/video"));
  CHECK(names(refusal("", "<controller type='usb' model='ich9-ehci1'/>"), "/domain/devices/controller[@type='usb']/@model"));
  CHECK(names(refusal("",
                      "<controller type='usb' model='piix3-uhci'>"
                      "<address type='pci' domain='0' bus='0' slot='9' function='0'/></controller>"),
              "is at 0000:00:01.2"));
  CHECK(names(refusal("",
                      "<controller type='usb' model='piix3-uhci'/><input type='tablet' bus='usb'>"
                      "<address type='usb' bus='0' port='3'/></input>"),
              "/domain/devices/input/address/@port"));
  CHECK(names(refusal("", "<controller type='usb'/><controller type='usb' index='1'/>"), "one USB controller"));
  CHECK(names(refusal("", "<input type='tablet' bus='usb'><address type='usb' bus='0' port='1.2'/></input>"),
              "/domain/devices/input/address/@port"));
  CHECK(names(refusal("", "<disk type='file' device='cdrom'><target dev='sda' bus='usb'/></disk>"), "no USB CD drives"));
  CHECK(names(refusal("", "<graphics type='vnc' websocket='-1'/>"), "/domain/devices/graphics/@websocket"));
  CHECK(names(refusal("", "<graphics type='vnc' powerControl='yes'/>"), "/domain/devices/graphics/@powerControl"));
  CHECK(names(refusal("", "<graphics type='vnc' passwd='x' connected='fail'/>"), "/domain/devices/graphics/@connected"));
  CHECK(names(refusal("", "<graphics type='vnc'><listen type='network' network='n'/></graphics>"),
              "/domain/devices/graphics/listen/@type"));
  CHECK(names(refusal("", "<graphics type='vnc'/><video><model type='none'/></video>"), "/domain/devices/graphics"));
  CHECK(names(refusal("", "<graphics type='vnc'/><graphics type='vnc'/>"), "/domain/devices/graphics[2]"));
  CHECK(names(refusal("", "<controller type='pci' model='pci-bridge'/>"), "one PCI bus"));
  CHECK(names(refusal("", "<rng model='virtio'><backend model='random'/><address type='pci' slot='1' function='2'/></rng>"),
              "/domain/devices/rng/address"));
  CHECK(names(refusal("", "<rng model='virtio'><backend model='random'/><address type='pci' slot='1'/></rng>"),
              "/domain/devices/rng/address"));
  auto microvm = domain_of("", "");
  REQUIRE(microvm.has_value());
  microvm->os.machine = "microvm";
  const auto machine = machine_json(*microvm, MachineFds());
  REQUIRE(!machine.has_value());
  CHECK(names(machine.error().message(), "/domain/os/kernel"));
}

TEST_CASE("what virt-install writes for a disk and a CD starts") {
  auto config = domain_of("<boot dev='cdrom'/><boot dev='hd'/>", R"(
    <emulator>/usr/libexec/lodge-vmm</emulator>
    <disk type="file" device="disk"><source file="/d.img"/><target dev="hda" bus="ide"/></disk>
    <disk type="file" device="cdrom"><source file="/i.iso"/><target dev="hdb" bus="ide"/><readonly/></disk>
    <interface type="user"><mac address="00:16:3e:11:22:33"/><model type="virtio"/></interface>
    <console type="pty"/>
    <input type="tablet" bus="usb"/>
    <graphics type="vnc" port="-1"/>
    <video><model type="vga"/></video>)");
  INFO((config ? "" : config.error().message()));
  REQUIRE(config.has_value());
  CHECK(leave_out(*config).empty());
  const auto machine = machine_json(*config, MachineFds());
  INFO((machine ? "" : machine.error().message()));
  REQUIRE(machine.has_value());
  CHECK((*machine)["disks"][1]["boot"] == 1);
  CHECK((*machine)["disks"][0]["boot"] == 2);
  CHECK((*machine)["disks"][1]["unit"] == 2);
}

TEST_CASE("what IDE drives and firmware cannot be is said at their definition") {
  const auto said = [](std::string_view os, std::string_view devices) {
    const auto config = domain_of(os, devices);
    return config ? std::string() : config.error().message();
  };
  CHECK(names(said("", "<disk type='file' device='disk'><source file='/a'/><target dev='hda' bus='ide'/><readonly/></disk>"),
              "readonly ide disks are not supported"));
  CHECK(
      names(said("", "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><address type='drive' bus='2'/></disk>"),
            "an address on the IDE bus"));
  CHECK(names(said("", "<disk type='file' device='cdrom'><driver queues='2'/><target dev='hda' bus='ide'/></disk>"),
              "for virtio disks only"));
  CHECK(names(said("", "<disk type='file' device='cdrom' model='virtio-transitional'><target dev='hda' bus='ide'/></disk>"),
              "not supported for bus 'ide'"));
  CHECK(names(said("", "<controller type='ide' index='1'/>"), "Only a single IDE controller"));
  CHECK(names(said("", "<controller type='fdc' index='1'/>"), "Only 1 fdc controller"));
  const std::string floppy = "<disk type='file' device='floppy'><target dev='fdc'/>";
  CHECK(names(said("", floppy + "</disk>"), "Only 1 fdc controller"));
  CHECK(names(said("", floppy + "<address type='drive' unit='2'/></disk>"), "an address on the floppy controller"));
  CHECK(names(said("", floppy + "<address type='drive' bus='1'/></disk>"), "an address on the floppy controller"));
  CHECK(names(said("", "<disk type='file' device='floppy'><target dev='fda' bus='ide'/></disk>"), "Invalid bus type"));
  CHECK(names(said("", "<disk type='file' device='floppy'><driver queues='2'/><target dev='fda'/></disk>"),
              "for virtio disks only"));
  CHECK(names(said("", "<interface type='user'><rom enabled='no' file='/r'/></interface>"), "ROM tuning"));
  CHECK(names(said("", "<interface type='user'><rom file='r'/></interface>"), "must be absolute"));
  CHECK(names(said("<bootmenu enable='yes' timeout='65536'/>", ""), "[0,65535]"));
  CHECK(names(said("<bios rebootTimeout='-2'/>", ""), "[-1,65535]"));
  CHECK(names(said("<bios useserial='yes'/>", ""), "useserial"));
  CHECK(names(said("<loader>bios.bin</loader>", ""), "must be absolute"));
}

TEST_CASE("a watchdog has its model, action and slot") {
  const Json esb = good("", "<watchdog model='i6300esb' action='inject-nmi'/>")["watchdog"];
  CHECK(esb["enabled"] == true);
  CHECK(esb["model"] == "i6300esb");
  CHECK(esb["action"] == "inject-nmi");
  CHECK(esb["slot"].get<int>() >= 2);
  const Json ib700 = good("", "<watchdog model='ib700'/>")["watchdog"];
  CHECK(ib700["action"] == "reset");
  CHECK_FALSE(ib700.contains("slot"));
  CHECK_FALSE(good("", "").contains("watchdog"));
  const auto dump = machine_of("", "<watchdog model='ib700' action='dump'/>");
  REQUIRE_FALSE(dump.has_value());
  CHECK(dump.error().message().contains("no dump"));
  const auto placed =
      machine_of("", "<watchdog model='ib700'><address type='pci' bus='0' slot='7' function='0'/></watchdog>");
  REQUIRE_FALSE(placed.has_value());
  CHECK(placed.error().message().contains("watchdog: it is no PCI device"));
  CHECK(names(refusal("", "<watchdog model='ib700'><address type='isa' iobase='0x441'/></watchdog>"),
              "/domain/devices/watchdog/address"));
  CHECK_FALSE(good("", "<watchdog model='ib700'><address type='isa'/></watchdog>")["watchdog"].contains("slot"));
}

}  // namespace lodge
