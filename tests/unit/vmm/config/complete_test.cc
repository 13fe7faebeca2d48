#include "vmm/config/complete.h"
#include "base/uuid.h"

#include <catch2/catch.hpp>

#include "vmm/config/command_line.h"
#include "vmm/config/json.h"

namespace lodge {
namespace {

MachineConfig parsed(const std::vector<std::string>& arguments) {
  auto request = parse_run_arguments(arguments);
  INFO((request ? "" : request.error().message));
  REQUIRE(request);
  return request->config;
}

std::string complaint(const std::vector<std::string>& arguments) {
  MachineConfig config = parsed(arguments);
  const auto outcome = complete(config);
  return outcome ? "" : outcome.error().message;
}

}  // namespace

TEST_CASE("slots are given in the order of creation, around those that were asked for") {
  MachineConfig config = parsed({"--disk", "a", "--disk", "b,slot=1", "--net", "none", "--rng", "on", "--balloon",
                                 "on,slot=3", "--channel", "socket=/s,name=x"});
  REQUIRE(complete(config));
  CHECK(config.rng.slot == 2);
  CHECK(config.balloon.slot == 3);
  CHECK(config.virtio_serial.slot == 4);
  CHECK(config.nets[0].slot == 5);
  CHECK(config.disks[0].slot == 6);
  CHECK(config.disks[1].slot == 1);
}

TEST_CASE("the pc's chipset keeps its slot") {
  MachineConfig config = parsed({"--machine", "pc", "--disk", "a"});
  REQUIRE(complete(config));
  CHECK(config.disks[0].slot == 2);
  CHECK(complaint({"--machine", "pc", "--disk", "a,slot=1"}) ==
        "PCI slot 1 of disk 'disk0' is the chipset's; use 2 to 31, or 0 to have one chosen");
  CHECK(complaint({"--machine", "microvm", "--disk", "a,slot=1"}).empty());
}

TEST_CASE("a slot that two ask for is refused with both names") {
  CHECK(complaint({"--disk", "a,id=vda,slot=7", "--net", "none,id=lan,slot=7"}) ==
        "PCI slot 7 is asked for by NIC 'lan' and by disk 'vda'; give one of them another, or 0 to have one chosen");
  CHECK(complaint({"--rng", "on,slot=9", "--virtio-serial", "slot=9", "--console", "pty"}) ==
        "PCI slot 9 is asked for by the random number device and by the virtio console; give one of them another, or 0 to "
        "have one chosen");
  // Without a console or channel there is no device that would take it.
  CHECK(complaint({"--rng", "on,slot=9", "--virtio-serial", "slot=9"}).empty());
  CHECK_FALSE(validate(parsed({"--disk", "a,slot=7", "--disk", "b,slot=7"})));
}

TEST_CASE("a machine has as many slots as a PCI bus") {
  std::vector<std::string> arguments;
  for (int i = 0; i < 31; ++i) {
    arguments.insert(arguments.end(), {"--disk", "x"});
  }
  MachineConfig config = parsed(arguments);
  REQUIRE(complete(config));
  CHECK(config.disks.back().slot == 31);
  arguments.insert(arguments.end(), {"--disk", "x"});
  CHECK(complaint(arguments) == "disk 'disk31' finds no free PCI slot; this machine has 31");
  CHECK_FALSE(parse_run_arguments({"--disk", "a,slot=32"}));
}

TEST_CASE("names and addresses that were left open do not collide with those that are there") {
  MachineConfig config = parsed({"--name", "web", "--net", "none", "--net", "none"});
  REQUIRE(complete(config));
  CHECK(config.nets[0].id == "net0");
  CHECK(config.nets[1].id == "net1");
  CHECK(config.nets[0].mac.starts_with("52:54:00:"));
  CHECK(config.nets[0].mac != config.nets[1].mac);
  // The first goes and a new one comes: it may not look like the second.
  const NetSettings second = config.nets[1];
  config.nets.erase(config.nets.begin());
  config.nets.emplace_back();
  REQUIRE(complete(config));
  CHECK(config.nets[0].id == second.id);
  CHECK(config.nets[0].mac == second.mac);
  CHECK(config.nets[0].slot == second.slot);
  CHECK(config.nets[1].id != second.id);
  CHECK(config.nets[1].mac != second.mac);
}

TEST_CASE("a completed configuration survives JSON and a second completion") {
  MachineConfig config = parsed({"--disk", "a", "--net", "user", "--rng", "on"});
  REQUIRE(complete(config));
  MachineConfig again;
  REQUIRE(apply_json(again, to_json(config)));
  REQUIRE(complete(again));
  CHECK(to_json(again) == to_json(config));
}

TEST_CASE("IDE drives find their places: disks from the front, CDs from the second channel") {
  MachineConfig config =
      parsed({"--machine", "pc", "--disk", "a,bus=ide", "--cdrom", "c", "--disk", "b,bus=ide", "--disk", "v"});
  REQUIRE(validate(config));
  REQUIRE(complete(config));
  const auto place = [&config](size_t disk) { return config.disks.at(disk).channel * 10 + config.disks.at(disk).unit; };
  CHECK(place(0) == 11);
  CHECK(place(1) == 21);
  CHECK(place(2) == 12);
  CHECK(config.disks[0].slot == 0);
  CHECK(config.disks[3].slot == 2);
  CHECK(config.disks[1].read_only);
  CHECK(complaint({"--disk", "a,bus=ide,channel=1,unit=1", "--disk", "b,bus=ide,channel=1,unit=1"}).find("asked for by") !=
        std::string::npos);
  CHECK(complaint({"--disk", "a,bus=ide,channel=1"}).find("give both") != std::string::npos);
  CHECK(complaint({"--cdrom", "none", "--cdrom", "none", "--cdrom", "none", "--cdrom", "none", "--cdrom", "none"})
            .find("no free place") != std::string::npos);
}

TEST_CASE("floppy drives find their places") {
  MachineConfig config = parsed({"--machine", "pc", "--floppy", "none", "--floppy", "a,unit=1"});
  REQUIRE(validate(config));
  REQUIRE(complete(config));
  CHECK(config.disks[0].unit == 2);
  CHECK(config.disks[1].unit == 1);
  CHECK(config.disks[0].slot == 0);
  CHECK(complaint({"--floppy", "none", "--floppy", "none", "--floppy", "none"}).find("no free place") != std::string::npos);
  CHECK(complaint({"--floppy", "a,unit=1", "--floppy", "b,unit=1"}).find("asked for by") != std::string::npos);
  CHECK_FALSE(validate(parsed({"--floppy", "none"})));
  CHECK_FALSE(validate(parsed({"--machine", "pc", "--disk", "a,bus=fdc"})));
  CHECK_FALSE(validate(parsed({"--machine", "pc", "--disk", "a,device=floppy"})));
}

TEST_CASE("cards of one model that firmware boots from have one option ROM, and real cards one queue") {
  const auto good = [](const char* one, const char* other) {
    return validate(parsed({"--machine", "pc", "--firmware", "bios", "--net", one, "--net", other})).has_value();
  };
  CHECK(good("none,model=rtl8139,boot=1", "none,model=rtl8139,boot=2"));
  CHECK(good("none,model=rtl8139,boot=1,rom=/a", "none,model=e1000,boot=2,rom=/b"));
  CHECK(good("none,model=rtl8139,boot=1,rom=/a", "none,model=rtl8139,boot=2,rom="));
  CHECK(good("none,model=rtl8139,boot=1,rom=/a", "none,model=rtl8139,rom=/b"));
  CHECK_FALSE(good("none,model=rtl8139,boot=1,rom=/a", "none,model=rtl8139,boot=2,rom=/b"));
  CHECK_FALSE(good("none", "none,model=rtl8139,queues=2"));
}

TEST_CASE("IDE and firmware are for the pc, CDs for IDE") {
  CHECK(validate(parsed({"--machine", "pc", "--firmware", "bios,menu=on", "--cdrom", "none"})));
  CHECK_FALSE(validate(parsed({"--firmware", "bios"})));
  CHECK(validate(parsed({"--machine", "pc", "--firmware", "uefi,vars=/v"})));
  CHECK_FALSE(validate(parsed({"--machine", "pc", "--firmware", "bios,vars=/v"})));
  CHECK_FALSE(validate(parsed({"--firmware", "uefi"})));
  CHECK_FALSE(validate(parsed({"--cdrom", "none"})));
  CHECK_FALSE(validate(parsed({"--machine", "pc", "--disk", "a,device=cdrom"})));
  CHECK_FALSE(validate(parsed({"--machine", "pc", "--disk", "a,bus=scsi"})));
  CHECK_FALSE(validate(parsed({"--machine", "pc", "--disk", "serial=x,bus=ide"})));
}

TEST_CASE("USB devices bring their controller along, and have ports around those that were asked for") {
  MachineConfig config =
      parsed({"--usb-device", "tablet", "--usb-device", "keyboard,port=1,id=kbd", "--usb-device", "mouse"});
  CHECK(!config.usb.enabled);
  REQUIRE(complete(config));
  CHECK((config.usb.enabled && config.usb.slot == 1 && config.usb.ports == 4));
  REQUIRE(config.usb_devices.size() == 3);
  CHECK((config.usb_devices[0].id == "input0" && config.usb_devices[0].port == 2));
  CHECK((config.usb_devices[1].id == "kbd" && config.usb_devices[1].kind == InputKind::keyboard));
  CHECK(config.usb_devices[2].port == 3);
  CHECK(complaint({"--usb-device", "tablet,port=5"}) ==
        "USB device 'input0': there is no port 5; the controller has 1 to 4");
  CHECK(complaint({"--usb-device", "tablet,port=2", "--usb-device", "mouse,port=2"}) ==
        "USB port 2 is asked for by 'input0' and by 'input1'; give one of them another, or 0 to have one chosen");
  CHECK(complaint({"--usb", "xhci,ports=1", "--usb-device", "tablet", "--usb-device", "mouse"}) ==
        "USB device 'input1' finds no free port; the controller has 1: raise ports of --usb (15 at most)");
  CHECK(complaint({"--usb-device", "tablet,id=usb0"}) == "id 'usb0' is used twice; give each device its own");
  CHECK(complaint({"--disk", "a,bus=usb,port=1", "--usb-device", "mouse,port=1"}) ==
        "USB port 1 is asked for by 'input0' and by 'disk0'; give one of them another, or 0 to have one chosen");
  config = parsed({"--disk", "a,bus=usb", "--usb-device", "tablet"});
  REQUIRE((complete(config) && validate(config)));
  CHECK((config.disks[0].port == 2 && config.disks[0].slot == 0));
  CHECK_FALSE(parse_run_arguments({"--usb-device", "printer"}));
  CHECK_FALSE(parse_run_arguments({"--usb", "xhci,ports=16"}));
  CHECK(complaint({"--machine", "pc", "--usb", "piix3-uhci,slot=5"}) ==
        "a USB controller of model piix3-uhci is a part of the chipset in slot 1; leave slot out");
  CHECK(complaint({"--machine", "pc", "--usb", "piix3-uhci"}).empty());
}

TEST_CASE("virtio input devices have ids and slots of their own") {
  MachineConfig config = parsed({"--input", "tablet", "--input", "keyboard,id=kbd,serial=K-1,slot=7,ring=packed",
                                 "--usb-device", "tablet", "--input", "mouse"});
  REQUIRE((complete(config) && validate(config)));
  REQUIRE(config.inputs.size() == 3);
  CHECK((config.inputs[0].id == "virtio-input0" && config.inputs[0].kind == InputKind::tablet));
  CHECK((config.inputs[1].id == "kbd" && config.inputs[1].serial == "K-1" && config.inputs[1].slot == 7));
  CHECK((config.inputs[1].kind == InputKind::keyboard && config.inputs[1].ring == RingLayout::packed));
  CHECK((config.inputs[2].id == "virtio-input2" && config.inputs[2].slot != config.inputs[0].slot));
  CHECK(complaint({"--input", "tablet,id=a", "--usb-device", "mouse,id=a"}) ==
        "id 'a' is used twice; give each device its own");
  CHECK(complaint({"--input", "tablet,slot=5", "--input", "mouse,slot=5"}) ==
        "PCI slot 5 is asked for by input device 'virtio-input0' and by input device 'virtio-input1'; give one of them "
        "another, or 0 to have one chosen");
  CHECK_FALSE(parse_run_arguments({"--input", "printer"}));
}

TEST_CASE("a screen is a VGA of a pc, or virtio's") {
  MachineConfig config = parsed({"--video", "virtio,width=1920,height=1080"});
  REQUIRE((complete(config) && validate(config)));
  CHECK((config.video.model == VideoModel::virtio && config.video.width == 1920 && config.video.slot == 1));
  CHECK(!validate(parsed({"--video", "vga"})));
  CHECK(!validate(parsed({"--video", "virtio-vga"})));
  CHECK(vga_bios_path(parsed({"--video", "virtio-vga"}).video) == "/usr/share/seabios/vgabios-virtio.bin");
  CHECK(vga_bios_path(parsed({"--video", "vga"}).video) == "/usr/share/seabios/vgabios-stdvga.bin");
  CHECK(vga_bios_path(parsed({"--video", "vga,rom=/my"}).video) == "/my");
  CHECK(validate(parsed({"--machine", "pc", "--video", "vga"})));
  CHECK_FALSE(parse_run_arguments({"--video", "virtio,width=63"}));
  CHECK_FALSE(parse_run_arguments({"--video", "virtio,height=2401"}));
  CHECK(complaint({"--video", "virtio", "--input", "tablet,id=video0"}) ==
        "id 'video0' is used twice; give each device its own");
}

TEST_CASE("the clock's offset has a sign and bounds on both sides") {
  MachineConfig config;
  REQUIRE(apply_json(config, R"({"clock": {"offset_seconds": -3600}})"));
  CHECK(config.clock.offset_seconds == -3600);
  CHECK(parsed({"--clock", "offset_seconds=-7200"}).clock.offset_seconds == -7200);
  for (const char* const bad : {"18446744073709551615", "100000000001", "-100000000001", "1.5", "\"1\""}) {
    CHECK_FALSE(apply_json(config, fmt::format(R"({{"clock": {{"offset_seconds": {}}}}})", bad)));
  }
  CHECK(config.clock.offset_seconds == -3600);
}

TEST_CASE("what a board has besides is for the machines that have it, and sound") {
  CHECK(validate(parsed({"--machine", "pc", "--parallel", "file=/p", "--parallel", "null", "--clock", "hpet=on"})));
  CHECK_FALSE(validate(parsed({"--parallel", "pty"})));
  CHECK_FALSE(validate(parsed({"--clock", "hpet=on"})));
  CHECK_FALSE(validate(parsed({"--machine", "pc", "--parallel", "stdio", "--serial", "stdio"})));
  CHECK(validate(parsed({"--vmgenid", "auto", "--vmcoreinfo"})));
  CHECK(validate(parsed({"--vmgenid", "0123456789abcdefABCDEF0123456789"})));
  for (const char* wrong : {"x", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-456789abcdeg",
                            "01234567x89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef0"}) {
    CHECK_FALSE(validate(parsed({"--vmgenid", wrong})));
  }
  MachineConfig config = parsed({"--vsock", "cid=3", "--net", "none"});
  CHECK(validate(config));
  REQUIRE(complete(config));
  CHECK(config.vsock.slot == 1);
  CHECK(config.nets[0].slot == 2);
  CHECK_FALSE(validate(parsed({"--vsock", "cid=2"})));
  CHECK_FALSE(validate(parsed({"--vsock", "on"})));
  CHECK_FALSE(parse_run_arguments({"--vsock", "cid=4294967295"}));
  CHECK_FALSE(validate(parsed({"--vsock", "cid=3,ring=packed"})));
  CHECK_FALSE(validate(parsed({"--vsock", "cid=3,version=transitional"})));
}

TEST_CASE("a filesystem needs a tag, a back-end and memory that is shared") {
  const std::string memfd = "64,backing=memfd";
  const auto with = [&](const std::string& fs) { return parsed({"--memory", memfd, "--fs", fs}); };
  MachineConfig config =
      parsed({"--memory", memfd, "--fs", "home,socket=/s", "--fs", "tag=data,socket=/t,queues=3", "--net", "none"});
  CHECK(validate(config));
  REQUIRE(complete(config));
  CHECK(config.filesystems[0].tag == "home");
  CHECK(config.filesystems[0].id == "fs0");
  CHECK(config.filesystems[0].slot == 1);
  CHECK(config.filesystems[1].id == "fs1");
  CHECK(config.filesystems[1].queues == 3);
  CHECK(config.nets[0].slot == 3);
  CHECK(validate(with("tag=" + std::string(36, 'x') + ",socket=/s")));
  CHECK_FALSE(validate(with("tag=" + std::string(37, 'x') + ",socket=/s")));
  CHECK_FALSE(validate(with("socket=/s")));
  CHECK_FALSE(validate(with("tag=home")));
  CHECK(validate(with("tag=home,socket_fd=9")));
  CHECK_FALSE(validate(with("home,socket=/s,queue_size=100")));
  CHECK_FALSE(validate(parsed({"--memory", memfd, "--fs", "a,socket=/s", "--fs", "a,socket=/t"})));
  const auto anonymous = validate(parsed({"--fs", "home,socket=/s"}));
  REQUIRE_FALSE(anonymous);
  CHECK(anonymous.error().message.find("backing=memfd") != std::string::npos);
  CHECK_FALSE(validate(parsed({"--memory", memfd, "--fs", "home,socket=/s", "--restore", "/f"})));
}

TEST_CASE("a GUID lies in memory with its first three numbers turned") {
  const auto guid = parse_guid("01234567-89ab-cdef-0123-456789abcdef");
  REQUIRE(guid);
  CHECK(memory_order(*guid) ==
        Uuid{0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef});
  CHECK(memory_order(memory_order(*guid)) == *guid);
  CHECK(print_uuid(*guid) == "01234567-89ab-cdef-0123-456789abcdef");
}

}  // namespace lodge
