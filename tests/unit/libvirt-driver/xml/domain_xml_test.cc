// Domain XML as text: what is read prints again in libvirt's look, and reads back equal.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::filesystem::path project() { return LODGE_TREE; }

DomainConfig parsed(std::string_view xml, ParseOptions options = {}) {
  auto config = parse_domain(xml, options);
  INFO(xml);
  INFO((config ? "" : config.error().message()));
  REQUIRE(config);
  return *config;
}

std::string with_devices(std::string_view devices) {
  return fmt::format("<domain type='kvm'>\n  <name>web</name>\n  <devices>\n{}  </devices>\n</domain>\n", devices);
}

}  // namespace

TEST_CASE("the examples print as they are written") {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(project() / "configs/domains")) {
    const std::string text = read_file(entry.path());
    INFO(entry.path());
    const DomainConfig config = parsed(text);
    CHECK(print_domain(config) == text);
    CHECK(parsed(print_domain(config)) == config);
    ++count;
  }
  CHECK(count >= 3);
}

TEST_CASE("elements are read in any order and printed in libvirt's") {
  const DomainConfig config = parsed(R"(<domain type="kvm"><devices><rng model="virtio"><backend model="random"/></rng>
      <disk device="disk" type="file"><target bus="virtio" dev="vda"/><source file="/a&amp;b"/></disk></devices>
      <memory>1024</memory><name>web</name></domain>)");
  CHECK(print_domain(config) == R"(<domain type='kvm'>
  <name>web</name>
  <memory unit='KiB'>1024</memory>
  <clock offset='utc'/>
  <devices>
    <disk type='file' device='disk'>
      <source file='/a&amp;b'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <rng model='virtio'>
      <backend model='random'/>
    </rng>
  </devices>
</domain>
)");
}

TEST_CASE("what belongs to a run is printed live only") {
  const std::string live = R"(<domain type='kvm' id='7'>
  <name>web</name>
  <clock offset='utc'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/web.qcow2' index='2'/>
      <backingStore type='file' index='1'>
        <format type='raw'/>
        <source file='/srv/base.img'/>
        <backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x04' function='0x0'/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:11:22:33'/>
      <source network='default' portid='5d744f21-ba4a-4d6e-bdb2-30a35ff3207e' bridge='virbr0'/>
      <target dev='vnet3'/>
      <model type='virtio'/>
      <alias name='ua-uplink'/>
    </interface>
    <serial type='pty'>
      <source path='/dev/pts/4'/>
      <target type='isa-serial' port='0'>
        <model name='isa-serial'/>
      </target>
      <alias name='serial0'/>
    </serial>
    <console type='pty' tty='/dev/pts/4'>
      <source path='/dev/pts/4'/>
      <target type='serial' port='0'/>
      <alias name='serial0'/>
    </console>
    <channel type='unix'>
      <source mode='bind' path='/run/libvirt/lodge/7-web/org.qemu.guest_agent.0'/>
      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>
      <alias name='channel0'/>
    </channel>
    <graphics type='vnc' port='5900' autoport='yes' listen='127.0.0.1' passwd='secret'>
      <listen type='address' address='127.0.0.1'/>
    </graphics>
  </devices>
</domain>
)";
  const DomainConfig config = parsed(live, {.live = true});
  CHECK(config.id == 7);
  CHECK(print_domain(config, {.live = true, .secure = true}) == live);
  const std::string inactive = print_domain(config);
  CHECK(inactive == print_domain(parsed(live)));
  CHECK(inactive == R"(<domain type='kvm'>
  <name>web</name>
  <clock offset='utc'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/web.qcow2'/>
      <backingStore type='file'>
        <format type='raw'/>
        <source file='/srv/base.img'/>
        <backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x04' function='0x0'/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:11:22:33'/>
      <source network='default'/>
      <model type='virtio'/>
      <alias name='ua-uplink'/>
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
    </channel>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'>
      <listen type='address' address='127.0.0.1'/>
    </graphics>
  </devices>
</domain>
)");
}

TEST_CASE("a migratable document has passwords and aliases, and nothing the other host chooses") {
  const DomainConfig config = parsed(with_devices(R"(
    <interface type='network'><source network='n' bridge='virbr0'/><target dev='vnet3'/><alias name='net0'/></interface>
    <graphics type='vnc' port='5901' autoport='yes' passwd='x'/>)"),
                                     {.live = true});
  const std::string text = print_domain(config, {.live = true, .migratable = true});
  CHECK(text.find("virbr0") == std::string::npos);
  CHECK(text.find("vnet3") == std::string::npos);
  CHECK(text.find("5901") == std::string::npos);
  CHECK(text.find("<alias name='net0'/>") != std::string::npos);
  CHECK(text.find("passwd='x'") != std::string::npos);
}

TEST_CASE("only the daemon's own sockets are taken out") {
  CHECK(is_chosen_socket("/run/libvirt/lodge/7-web/agent"));
  CHECK(is_chosen_socket("/run/user/1000/libvirt/lodge/7-web/agent"));
  CHECK_FALSE(is_chosen_socket("/run/libvirt/agent"));
  CHECK_FALSE(is_chosen_socket("/var/lib/libvirt/lodge/agent"));
}

TEST_CASE("metadata is kept as it was given, with the namespaces it needs") {
  const DomainConfig config = parsed(
      "<domain type='kvm' xmlns:a='http://example.org/a'><name>web</name>"
      "<metadata><a:x k=\"'\">  text &lt; <b/> </a:x>\n<!-- note --></metadata></domain>");
  CHECK(config.metadata == R"(<metadata xmlns:a="http://example.org/a">
    <a:x k="'">  text &lt; <b/> </a:x>
    <!-- note -->
  </metadata>)");
  CHECK(parsed(print_domain(config)) == config);
}

TEST_CASE("sizes in any unit become KiB, rounded up") {
  const auto memory = [](std::string_view element) {
    return parsed(fmt::format("<domain type='kvm'>{}</domain>", element)).memory;
  };
  CHECK(memory("<memory>512</memory>") == 512);
  CHECK(memory("<memory unit='MiB'>512</memory>") == 512 * 1024);
  CHECK(memory("<memory unit='G'>2</memory>") == 2 << 20);
  CHECK(memory("<memory unit='KB'>1025</memory>") == 1001);
  CHECK(memory("<memory unit='b'>1</memory>") == 1);
  CHECK(memory("<memory unit='TiB'> 1 </memory>") == 1 << 30);
}

TEST_CASE("one device prints and reads back") {
  const std::string text = R"(<disk type='file' device='cdrom'>
  <driver name='qemu' type='raw'/>
  <target dev='hdc' bus='ide' tray='open'/>
  <readonly/>
</disk>
)";
  const auto device = parse_device(text);
  REQUIRE(device);
  CHECK(std::get<DomainDisk>(*device).target == "hdc");
  CHECK_FALSE(std::get<DomainDisk>(*device).has_medium());
  CHECK(print_device(*device) == text);
}

}  // namespace lodge
