// What is wrong in a document, and how it is told: malformed text, wrong values, things Lodge has not, senseless domains.
#include <catch2/catch.hpp>

#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/xml_reader.h"

namespace lodge {
namespace {

CallError parse_error(std::string_view xml) {
  const auto config = parse_domain(xml);
  INFO(xml);
  REQUIRE_FALSE(config);
  return config.error();
}

std::string in_domain(std::string_view children) {
  return fmt::format("<domain type='kvm'>\n<name>web</name>\n{}\n</domain>", children);
}

// The message for these children of <domain>, which begin in line 3.
std::string told(std::string_view children) { return parse_error(in_domain(children)).message(); }

// The message of check() for a domain that parses and completes.
std::string checked(std::string_view children, std::string_view head = "<memory>1024</memory><os><type>hvm</type></os>") {
  auto config = parse_domain(in_domain(fmt::format("{}{}", head, children)));
  INFO(children);
  INFO((config ? "" : config.error().message()));
  REQUIRE(config);
  const auto done = complete(*config, {});
  INFO((done ? "" : done.error().message()));
  REQUIRE(done);
  const auto good = check(*config);
  return good ? "" : good.error().message();
}

std::string device_checked(std::string_view devices) { return checked(fmt::format("<devices>{}</devices>", devices)); }

}  // namespace

TEST_CASE("malformed XML is told as libvirt tells it") {
  const CallError error = parse_error("<domain type='kvm'>\n  <name>x</nam>\n</domain>");
  CHECK(error.code == VIR_ERR_XML_DETAIL);
  CHECK(error.message() ==
        "(domain_definition):2: Opening and ending tag mismatch: name line 2 and nam\n  <name>x</nam>\n---------------^");
  CHECK(parse_error("").code == VIR_ERR_XML_DETAIL);
  CHECK(parse_error("<domain").code == VIR_ERR_XML_DETAIL);
  CHECK(parse_error("<domain type='kvm'>&nothing;</domain>").code == VIR_ERR_XML_DETAIL);
  CHECK(parse_error(std::string_view("<domain\0/>", 10)).code == VIR_ERR_XML_DETAIL);
  const auto device = parse_device("<disk>");
  REQUIRE_FALSE(device);
  CHECK(device.error().detail.starts_with("(device_definition):1: "));
}

TEST_CASE("documents that are no domain are refused") {
  CHECK(parse_error("<network/>").message() == "XML error: unexpected root element <network>, expecting <domain>");
  CHECK(parse_error("<d:domain xmlns:d='urn:x'/>").code == VIR_ERR_XML_ERROR);
  const auto device = parse_device("<toaster/>");
  REQUIRE_FALSE(device);
  CHECK(device.error().message() == "XML error: unknown device type 'toaster'");
  const auto hostdev = parse_device("<hostdev mode='subsystem' type='pci'/>");
  REQUIRE_FALSE(hostdev);
  CHECK(hostdev.error().message() == "unsupported configuration: devices of type 'hostdev' are not offered");
}

TEST_CASE("what would reach beyond the document is refused") {
  CHECK(parse_error("<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>").message().find("<!DOCTYPE>") != std::string::npos);
  CHECK_FALSE(
      parse_domain("<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><domain type='kvm'><name>&e;</name></domain>"));
  std::string bomb = "<!DOCTYPE d [<!ENTITY a0 'aaaaaaaaaa'>";
  for (int i = 1; i < 12; ++i) {
    bomb += fmt::format("<!ENTITY a{} '&a{};&a{};&a{};&a{};&a{};&a{};&a{};&a{};'>", i, i - 1, i - 1, i - 1, i - 1, i - 1,
                        i - 1, i - 1, i - 1);
  }
  CHECK_FALSE(parse_domain(bomb + "]><domain type='kvm'><name>&a11;</name></domain>"));
}

TEST_CASE("documents that are too long or too deep are refused") {
  const std::string text = in_domain(std::string(XmlDocument::kMaxText, ' '));
  CHECK(parse_error(text).message().find("at most 4194304 are read") != std::string::npos);
  std::string deep;
  for (int i = 0; i < 100'000; ++i) {
    deep += "<backingStore>";
  }
  CHECK(parse_error(deep).code == VIR_ERR_XML_DETAIL);
  std::string many = "<devices>";
  for (int i = 0; i <= 4096; ++i) {
    many += "<rng/>";
  }
  CHECK(told(many + "</devices>") == "XML error: /domain/devices (line 3): more than 4096 elements 'rng'");
}

TEST_CASE("a wrong value is told with its place and itself") {
  CHECK(told("\n<vcpu>two</vcpu>") == "XML error: /domain/vcpu (line 4): 'two' is not a number from 0 to 4294967295");
  CHECK(told("<vcpu>4294967296</vcpu>") ==
        "XML error: /domain/vcpu (line 3): '4294967296' is not a number from 0 to 4294967295");
  CHECK(told("<vcpu cpuset='3-1'>1</vcpu>") ==
        "XML error: /domain/vcpu/@cpuset (line 3): '3-1' is not a set of numbers up to 16383 such as 0-3,^2,8");
  CHECK(told("<memory unit='stone'>1</memory>") ==
        "XML error: /domain/memory (line 3): '1 stone' is no size; write a number with a unit such as KiB, MiB, GiB");
  CHECK(told("<memory unit='EiB'>16</memory>").starts_with("XML error: /domain/memory (line 3): "));
  CHECK(told("<memory>-1</memory>").starts_with("XML error: /domain/memory (line 3): "));
  CHECK(told("<uuid>xyz</uuid>") == "XML error: /domain/uuid (line 3): 'xyz' is not a UUID that is not all zero");
  CHECK(told("<uuid>00000000-0000-0000-0000-000000000000</uuid>").starts_with("XML error: /domain/uuid"));
  CHECK(told("<on_reboot>maybe</on_reboot>") ==
        "XML error: /domain/on_reboot (line 3): 'maybe' is not one of destroy, restart, preserve, rename-restart");
  CHECK(told("<clock offset='utc' adjustment='soon'/>") ==
        "XML error: /domain/clock/@adjustment (line 3): 'soon' is neither 'reset' nor a number of seconds");
  CHECK(told("<cpu><topology sockets='0' cores='1' threads='1'/></cpu>") ==
        "XML error: /domain/cpu/topology/@sockets (line 3): must be a number from 1");
  CHECK(told("<devices>\n<disk/>\n<disk>\n<driver cache='fast'/></disk></devices>") ==
        "XML error: /domain/devices/disk[2]/driver/@cache (line 6): 'fast' is not one of none, writethrough, writeback, "
        "directsync, unsafe");
  CHECK(
      told("<devices><interface><mac address='01:00:00:00:00:01'/></interface></devices>") ==
      "XML error: /domain/devices/interface/mac/@address (line 3): '01:00:00:00:00:01' is not a unicast MAC address such as "
      "52:54:00:12:34:56");
  CHECK(told("<devices><rng><address type='pci' slot='32'/></rng></devices>") ==
        "XML error: /domain/devices/rng/address (line 3): Invalid PCI address 0000:00:20.0. slot must be <= 31");
  CHECK(told("<devices><rng><address slot='3'/></rng></devices>") ==
        "XML error: /domain/devices/rng/address/@type (line 3): is missing");
  CHECK(told("<devices><disk><boot order='0'/></disk></devices>") ==
        "XML error: /domain/devices/disk/boot/@order (line 3): must be a number from 1");
  CHECK(told("<devices><graphics type='vnc' listen='::1'><listen type='address' address='::'/></graphics></devices>") ==
        "XML error: /domain/devices/graphics/@listen (line 3): '::1' must match the address '::' of the first <listen>");
  CHECK(told(fmt::format("<vcpu>{}</vcpu>", std::string(1000, '9'))).size() < 250);
}

TEST_CASE("what Lodge does not offer is refused with its place") {
  const auto refused = [](std::string_view children) {
    const CallError error = parse_error(in_domain(children));
    CHECK(error.code == VIR_ERR_CONFIG_UNSUPPORTED);
    return error.detail;
  };
  CHECK(refused("<devices>\n<hostdev mode='subsystem'/></devices>") == "/domain/devices/hostdev (line 4) is not offered");
  CHECK(refused("<devices><smartcard/></devices>") == "/domain/devices/smartcard (line 3) is not offered");
  CHECK(refused("<devices><disk type='network'/></devices>") ==
        "/domain/devices/disk/@type (line 3): 'network' is not offered; it must be one of file, block, volume");
  CHECK(refused("<devices><disk device='lun'/></devices>").starts_with("/domain/devices/disk/@device (line 3): 'lun'"));
  CHECK(refused("<devices><disk><transient/></disk></devices>") == "/domain/devices/disk/transient (line 3) is not offered");
  CHECK(refused("<devices><disk><source file='/a' dev='/b'/></disk></devices>") ==
        "/domain/devices/disk/source/@dev (line 3) is not offered");
  CHECK(refused("<maxMemory slots='16'>4096</maxMemory>") == "/domain/maxMemory/@slots (line 3) is not offered");
  CHECK(refused("<perf><event name='cmt' enabled='yes'/></perf>") == "/domain/perf (line 3) is not offered");
  CHECK(refused("<features><hyperv><relaxed state='off'/><vapic state='on'/></hyperv></features>") ==
        "/domain/features/hyperv/vapic (line 3): is not offered; only state='off' is accepted");
  CHECK(refused("<features><smm/></features>") ==
        "/domain/features/smm (line 3): is not offered; only state='off' is accepted");
  CHECK(refused("<cputune><vcpusched vcpus='0' scheduler='fifo'/></cputune>") ==
        "/domain/cputune/vcpusched (line 3) is not offered");
  CHECK(refused("<seclabel type='dynamic'/>") == "/domain/seclabel (line 3): is not offered; only type='none' is accepted");
  CHECK(refused("<vcpu>1</vcpu><vcpu>2</vcpu>") == "/domain/vcpu[2] (line 3) is not offered");
  CHECK(refused("<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>") ==
        "/domain/q:commandline (line 3) is not offered");
  CHECK(refused("<sysinfo type='fwcfg'/>") == "/domain/sysinfo/@type (line 3): 'fwcfg' is not offered; it must be smbios");
  CHECK(refused("<devices><memballoon/><memballoon/></devices>") == "/domain/devices/memballoon[2] (line 3) is not offered");
}

TEST_CASE("what means nothing here is accepted") {
  CHECK(
      parse_domain(in_domain("some text <!-- a note --><?tool data?><x:y xmlns:x='urn:x'/><seclabel type='none'/>"
                             "<features><hyperv mode='custom'><relaxed state='off'/></hyperv></features>")));
}

TEST_CASE("a domain that makes no sense is refused by check()") {
  CHECK(checked("").empty());
  CHECK(checked("", "<os><type>hvm</type></os>") == "XML error: /domain/memory is missing or 0; give the guest some memory");
  CHECK(checked("", "<memory>1</memory>") == "XML error: an os <type> must be specified");
  CHECK(checked("", "<memory>1</memory><os><type>xen</type></os>") ==
        "unsupported configuration: /domain/os/type: 'xen' is not offered; it must be 'hvm'");
  CHECK(checked("", "<memory>1</memory><os><type arch='aarch64'>hvm</type></os>") ==
        "unsupported configuration: /domain/os/type/@arch: 'aarch64' is not offered; it must be 'x86_64'");
  CHECK(checked("<vcpu current='3'>2</vcpu>") == "XML error: maxvcpus must not be less than current vcpus (2 < 3)");
  CHECK(checked("<vcpu current='0'>2</vcpu>") == "XML error: /domain/vcpu/@current must be a number from 1");
  CHECK(checked("<vcpu>3</vcpu><cpu><topology sockets='1' cores='2' threads='2'/></cpu>") ==
        "unsupported configuration: CPU topology doesn't match maximum vcpu count: 4 and 3");
  CHECK(checked("<vcpu>2</vcpu><vcpus><vcpu id='2' enabled='yes'/></vcpus>") ==
        "XML error: vcpu id '2' is not below the maximum, 2");
  CHECK(checked("<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes'/></vcpus>") ==
        "XML error: /domain/vcpus enables 1 vCPUs, /domain/vcpu 2");
  CHECK(checked("<cpu><numa><cell cpus='0-1' memory='5'/></numa></cpu>") ==
        "unsupported configuration: CPU IDs in <numa> exceed the <vcpu> count: 1 of 1");
  CHECK(checked("<vcpu>2</vcpu><cpu><numa><cell cpus='0-1' memory='5'/><cell cpus='1' memory='5'/></numa></cpu>") ==
        "XML error: NUMA cells have overlapping vCPU ids: 1 is in two");
  CHECK(checked("<cpu><numa><cell id='1' cpus='0' memory='5'/></numa></cpu>") ==
        "XML error: /domain/cpu/numa: the ids of cells must be 0 to 0, each once");
  CHECK(checked("<cpu mode='host-passthrough'><model>Haswell</model></cpu>").starts_with("unsupported configuration: "));
  CHECK(checked("<cpu mode='host-model'><feature name='a'/><feature name='a'/></cpu>") ==
        "XML error: CPU feature 'a' specified more than once");
  CHECK(checked("<cputune><period>1</period></cputune>") ==
        "XML error: Value of cputune 'period' must be in range [1000, 1000000]");
  CHECK(checked("<cputune><quota>-1</quota></cputune>").empty());
  CHECK(checked("<cputune><vcpupin vcpu='1' cpuset='0'/></cputune>") ==
        "XML error: vcpupin: vcpu 1 is not below the maximum, 1");
  CHECK(checked("<cputune><iothreadpin iothread='1' cpuset='0'/></cputune>") == "XML error: Cannot find 'iothread' : 1");
  CHECK(checked("<title>a\nb</title>") == "XML error: Domain title can't contain newlines");
}

TEST_CASE("names that cannot be files are refused") {
  const auto named = [](std::string_view name, std::string_view type = "kvm") {
    auto config = parse_domain(
        fmt::format("<domain type='{}'><name>{}</name><memory>1</memory><os><type>hvm</type></os></domain>", type, name));
    REQUIRE(config);
    const auto good = check(*config);
    return good ? "" : good.error().message();
  };
  CHECK(named("").starts_with("missing domain name"));
  CHECK(named("a/b") == "XML error: name a/b cannot contain '/'");
  CHECK(named("a\nb").find("line break") != std::string::npos);
  CHECK(named("..") == "XML error: name '..' is a directory's; choose another one");
  CHECK(named("   ").find("not blank") != std::string::npos);
  CHECK(named(std::string(201, 'a')).find("at most 200") != std::string::npos);
  CHECK(named("a", "qemu") == "unsupported configuration: /domain/@type: 'qemu' is not offered; it must be 'kvm'");
  CHECK(named("a", "") == "XML error: Missing required attribute 'type' in element 'domain'");
}

TEST_CASE("devices that make no sense are refused by check()") {
  CHECK(device_checked(
            "<disk><source file='/a'/><target dev='vda'/></disk><disk><source file='/b'/><target dev='vda'/></disk>") ==
        "XML error: target 'vda' duplicated for disk sources '/a' and '/b'");
  CHECK(device_checked("<disk><target dev='vda'/></disk>") == "missing source information for device vda");
  CHECK(device_checked("<disk><source file='a'/><target dev='vda'/></disk>") ==
        "XML error: disk vda: path 'a' must be absolute");
  CHECK(device_checked("<disk device='cdrom'><target dev='vda'/></disk>") ==
        "unsupported configuration: disk type of 'vda' does not support ejectable media");
  CHECK(device_checked("<disk><driver iothread='1'/><source file='/a'/><target dev='vda'/></disk>") ==
        "unsupported configuration: Disk iothread '1' not defined in iothreadid");
  CHECK(device_checked("<disk><source file='/a'/><target dev='vda'/><iotune><total_iops_sec>1</total_iops_sec>"
                       "<read_iops_sec>1</read_iops_sec></iotune></disk>") ==
        "XML error: disk vda: total and read/write of iops_sec cannot be set at the same time");
  CHECK(device_checked("<disk type='volume'><source pool='p'/><target dev='vda'/></disk>") ==
        "XML error: disk vda: a source of type 'volume' needs both 'pool' and 'volume'");
  CHECK(device_checked("<interface type='network'/>") ==
        "XML error: No <source> 'network' attribute specified with <interface type='network'/>");
  CHECK(device_checked("<interface type='bridge'/>") ==
        "XML error: No <source> 'bridge' attribute specified with <interface type='bridge'/>");
  CHECK(device_checked("<interface type='user'><target dev='a/b'/></interface>").find("no name of a network device") !=
        std::string::npos);
  CHECK(device_checked("<serial type='file'/>") == "XML error: Missing source path attribute for char device");
  CHECK(device_checked("<serial type='tcp'><source mode='connect' host='h'/></serial>") ==
        "XML error: Missing source service attribute for char device");
  CHECK(device_checked("<serial type='pty'><target port='1'/></serial><serial type='null'><target port='1'/></serial>") ==
        "XML error: target port '1' of serial devices is given twice");
  CHECK(device_checked("<console type='pty'/><console type='null'/>") ==
        "unsupported configuration: Only the first console can be a serial port");
  CHECK(device_checked("<controller type='scsi' index='1'/><controller type='scsi' index='1'/>") ==
        "XML error: Multiple 'scsi' controllers with index '1'");
  CHECK(device_checked("<graphics type='vnc' passwd='x' passwdValidTo='tomorrow'/>") ==
        "XML error: cannot parse password validity time 'tomorrow', expect YYYY-MM-DDTHH:MM:SS");
  CHECK(device_checked("<graphics type='vnc'><listen type='socket' socket='here'/></graphics>") ==
        "XML error: /domain/devices/graphics/listen/@socket: 'here' must be absolute");
  CHECK(device_checked("<graphics type='vnc' passwd='123456789'/>") ==
        "unsupported configuration: VNC password is 9 characters long, only 8 permitted");
  CHECK(device_checked("<watchdog/><watchdog/>") == "unsupported configuration: only a single watchdog device is supported");
  CHECK(device_checked("<video><model type='none'/></video><video><model type='vga'/></video>") ==
        "XML error: a 'none' video type must be the only video device defined for the domain");
  CHECK(device_checked("<interface type='user'><boot order='1'/></interface><disk><source file='/a'/><target dev='vda'/>"
                       "<boot order='1'/></disk>") == "XML error: boot order '1' used for more than one device");
  CHECK(checked("<devices><interface type='user'><boot order='1'/></interface></devices>",
                "<memory>1</memory><os><type>hvm</type><boot dev='hd'/></os>") ==
        "unsupported configuration: per-device boot elements cannot be used together with os/boot elements");
  CHECK(device_checked("<interface type='user'><alias name='ua-a'/></interface><rng><backend model='random'/>"
                       "<alias name='ua-a'/></rng>") == "XML error: non unique alias detected: ua-a");
  CHECK(
      device_checked("<rng><backend model='random'/><alias name='ua-a b'/></rng>").starts_with("XML error: alias 'ua-a b'"));
}

}  // namespace lodge
