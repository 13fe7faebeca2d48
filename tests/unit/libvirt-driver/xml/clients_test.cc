// Documents in the shapes that stock clients send: they are read, completed and pass the checks; what is printed reads back
// equal and fits libvirt's own schema.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"
#include "libvirt-driver/xml/validate.h"

namespace lodge {
namespace {

constexpr const char* kSchema = "/usr/share/libvirt/schemas/domain.rng";  // of the package libvirt0

void goes_through(const std::string& xml) {
  INFO(xml);
  auto config = parse_domain(xml);
  INFO((config ? "" : config.error().message()));
  REQUIRE(config);
  Defaults host;
  host.emulator = "/usr/libexec/lodge-vmm";
  host.format_of = [](const DomainDisk&) { return std::string("raw"); };
  const auto done = complete(*config, host);
  INFO((done ? "" : done.error().message()));
  REQUIRE(done);
  const auto good = check(*config);
  INFO((good ? "" : good.error().message()));
  REQUIRE(good);

  const std::string inactive = print_domain(*config, {.secure = true});
  const auto again = parse_domain(inactive);
  REQUIRE(again);
  CHECK(*again == *config);
  CHECK(print_domain(*again, {.secure = true}) == inactive);
  const auto fits = validate_schema(inactive, kSchema);
  INFO(inactive);
  INFO((fits ? "" : fits.error().message()));
  CHECK(fits);

  assign_aliases(*config);
  config->id = 3;
  const std::string live = print_domain(*config, {.live = true, .secure = true});
  const auto live_again = parse_domain(live, {.live = true});
  REQUIRE(live_again);
  CHECK(*live_again == *config);
  const auto live_fits = validate_schema(live, kSchema);
  INFO((live_fits ? "" : live_fits.error().message()));
  CHECK(live_fits);
  CHECK(print_domain(*live_again, {.secure = true}) == inactive);
}

}  // namespace

TEST_CASE("virt-install at a URI it does not know") {
  goes_through(R"(<domain type="kvm">
  <name>guest</name>
  <uuid>6f0bafd5-93dc-4ef8-9cc3-b5e7a3a3a9d1</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory>524288</memory>
  <currentMemory>524288</currentMemory>
  <vcpu>2</vcpu>
  <os>
    <type arch="x86_64" machine="lodge-1.0">hvm</type>
    <boot dev="cdrom"/>
    <boot dev="hd"/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <clock offset="utc"/>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/libexec/lodge-vmm</emulator>
    <disk type="file" device="disk">
      <source file="/var/lib/libvirt/images/guest.img"/>
      <target dev="hda" bus="ide"/>
    </disk>
    <disk type="file" device="cdrom">
      <source file="/srv/iso/install.iso"/>
      <target dev="hdb" bus="ide"/>
      <readonly/>
    </disk>
    <interface type="network">
      <source network="default"/>
      <mac address="00:16:3e:12:34:56"/>
      <model type="e1000"/>
    </interface>
    <console type="pty"/>
    <input type="tablet" bus="usb"/>
    <graphics type="vnc" port="-1"/>
    <video>
      <model type="virtio"/>
    </video>
  </devices>
</domain>)");
}

TEST_CASE("virt-install at a URI it takes for QEMU's") {
  std::string ports;
  for (int i = 0; i < 14; ++i) {
    ports += R"(<controller type="pci" model="pcie-root-port"/>)";
  }
  goes_through(R"(<domain type="kvm"><name>guest</name><memory>1048576</memory><currentMemory>1048576</currentMemory>
  <vcpu>2</vcpu><os><type arch="x86_64" machine="pc-q35-lodge">hvm</type><boot dev="hd"/></os>
  <features><acpi/><apic/><vmport state="off"/></features>
  <cpu mode="host-passthrough"/>
  <clock offset="utc"><timer name="rtc" tickpolicy="catchup"/><timer name="pit" tickpolicy="delay"/>
    <timer name="hpet" present="no"/></clock>
  <pm><suspend-to-mem enabled="no"/><suspend-to-disk enabled="no"/></pm>
  <devices><emulator>/usr/libexec/lodge-vmm</emulator>
    <disk type="file" device="disk"><driver name="qemu" type="qcow2" discard="unmap"/>
      <source file="/var/lib/libvirt/images/guest.qcow2"/><target dev="vda" bus="virtio"/></disk>
    <controller type="usb" model="qemu-xhci" ports="15"/><controller type="pci" model="pcie-root"/>)" +
               ports + R"(
    <interface type="network"><source network="default"/><mac address="52:54:00:12:34:56"/><model type="virtio"/></interface>
    <console type="pty"/>
    <channel type="unix"><source mode="bind"/><target type="virtio" name="org.qemu.guest_agent.0"/></channel>
    <input type="tablet" bus="usb"/><graphics type="vnc" port="-1"/><video><model type="virtio"/></video>
    <memballoon model="virtio"/><rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
  </devices></domain>)");
}

TEST_CASE("virt-install with UEFI, a kernel from a location, or the network") {
  const auto with_os = [](std::string_view os) {
    return fmt::format(
        "<domain type='kvm'><name>guest</name><memory>524288</memory><vcpu>1</vcpu>{}<on_reboot>destroy</on_reboot>"
        "<devices><interface type='bridge'><source bridge='br0'/></interface></devices></domain>",
        os);
  };
  goes_through(with_os("<os firmware='efi'><type arch='x86_64'>hvm</type><boot dev='hd'/></os>"));
  goes_through(
      with_os("<os><type>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>"
              "<nvram template='/usr/share/OVMF/OVMF_VARS.fd'/></os>"));
  goes_through(
      with_os("<os><type>hvm</type><kernel>/var/lib/libvirt/boot/virtinst-x-vmlinuz</kernel>"
              "<initrd>/var/lib/libvirt/boot/virtinst-x-initrd.gz</initrd><cmdline>console=ttyS0</cmdline></os>"));
  goes_through(with_os("<os><type>hvm</type><boot dev='network'/></os>"));
}

TEST_CASE("a definition typed by hand with everything") {
  goes_through(R"(<domain type='kvm'><name>all</name><title>t &lt;&amp;&gt; "t'</title><description>two
lines</description><memory unit='GiB'>1</memory>
  <memoryBacking><hugepages><page size='2' unit='M' nodeset='0'/></hugepages><nosharepages/><locked/><source type='memfd'/>
    <access mode='shared'/><allocation mode='immediate' threads='4'/><discard/></memoryBacking>
  <memtune><hard_limit unit='G'>2</hard_limit><soft_limit>1000</soft_limit><swap_hard_limit unit='G'>3</swap_hard_limit></memtune>
  <blkiotune><weight>500</weight><device><path>/dev/sda</path><weight>200</weight><read_bytes_sec>9</read_bytes_sec></device></blkiotune>
  <vcpu cpuset='0-7,^3' current='2'>4</vcpu>
  <vcpus><vcpu id='0' enabled='yes' hotpluggable='no' order='1'/><vcpu id='1' enabled='yes' hotpluggable='yes'/></vcpus>
  <iothreads>2</iothreads><iothreadids><iothread id='4'/></iothreadids>
  <cputune><shares>10</shares><period>100000</period><quota>-1</quota><emulator_period>1000</emulator_period>
    <vcpupin vcpu='0' cpuset='0'/><emulatorpin cpuset='1'/><iothreadpin iothread='1' cpuset='0-1'/>
    <iothreadpin iothread='4' cpuset='2'/></cputune>
  <numatune><memory mode='strict' nodeset='0'/></numatune><resource><partition>/machine/p</partition></resource>
  <sysinfo type='smbios'><bios><entry name='vendor'>V</entry></bios><system><entry name='manufacturer'>M</entry></system>
    <baseBoard><entry name='serial'>B</entry></baseBoard><oemStrings><entry>a</entry></oemStrings></sysinfo>
  <os><type>hvm</type><bootmenu enable='yes'/><smbios mode='sysinfo'/><bios useserial='yes' rebootTimeout='-1'/></os>
  <features><acpi/><apic eoi='on'/><pae/></features>
  <cpu match='strict'><model fallback='forbid'>Haswell</model><topology sockets='1' dies='1' cores='2' threads='2'/>
    <cache level='3' mode='emulate'/><maxphysaddr mode='emulate' bits='40'/><feature policy='disable' name='pcid'/></cpu>
  <clock offset='variable' adjustment='-30' basis='localtime'><timer name='rtc' track='guest' tickpolicy='catchup'>
    <catchup threshold='1' slew='2' limit='3'/></timer><timer name='tsc' frequency='3000000000' mode='native'/></clock>
  <devices>
    <disk type='block' snapshot='no'><driver io='native' cache='none' error_policy='enospace' rerror_policy='report' queues='4'
      queue_size='256' iothread='4' event_idx='on' packed='on' detect_zeroes='unmap' discard='unmap' copy_on_read='off'/>
      <source dev='/dev/vg/lv' startupPolicy='mandatory'/><target dev='vda'/><blockio logical_block_size='4096'
      physical_block_size='4096'/><geometry cyls='16383' heads='16' secs='63' trans='lba'/><shareable/><serial>S 1</serial>
      <wwn>5000c500155559e7</wwn><vendor>V</vendor><product>P</product><boot order='2'/>
      <iotune><read_bytes_sec>1</read_bytes_sec><write_bytes_sec_max>2</write_bytes_sec_max>
      <write_bytes_sec_max_length>3</write_bytes_sec_max_length><group_name>g</group_name></iotune></disk>
    <disk type='file'><source file='/o'/><backingStore type='block'><format type='qcow2'/><source dev='/m'/>
      <backingStore type='file'><format type='raw'/><source file='/b'/><backingStore/></backingStore></backingStore>
      <target dev='sda' bus='scsi'/></disk>
    <disk type='volume'><source pool='default' volume='x.img'/><target dev='sdb' bus='sata' removable='on'/></disk>
    <disk device='floppy'><target dev='fda'/></disk>
    <disk><source file='/stick'/><target dev='sdc' bus='usb'/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'><driver queues='4' iommu='on'/></controller>
    <interface type='network'><source network='default' portgroup='g'/><vlan><tag id='42' nativeMode='untagged'/></vlan>
      <virtualport type='openvswitch'><parameters profileid='p'/></virtualport><model type='virtio'/>
      <driver name='vhost' queues='4' rx_queue_size='512' tx_queue_size='256'><host csum='off'/><guest tso4='off'/></driver>
      <filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.1'/></filterref><mtu size='9000'/><link state='down'/>
      <bandwidth><inbound average='1' peak='2' burst='3' floor='1'/></bandwidth><rom bar='off'/><boot order='1'/></interface>
    <interface type='direct'><source dev='eth0' mode='vepa'/><port isolated='yes'/></interface>
    <interface type='ethernet'><target dev='tap0' managed='no'/><ip address='192.0.2.1' prefix='24'/>
      <route address='198.51.100.0' prefix='24' gateway='192.0.2.9'/></interface>
    <serial type='unix'><source mode='connect' path='/s'><reconnect enabled='yes' timeout='5'/></source>
      <log file='/l' append='off'/></serial>
    <serial type='tcp'><source mode='bind' host='0.0.0.0' service='4555'/><protocol type='telnet'/><target port='3'/></serial>
    <console type='pty'/><console type='dev'><source path='/dev/ttyS9'/><target type='virtio'/></console>
    <channel type='null'><target type='virtio' name='n'/></channel>
    <input type='tablet' bus='virtio'/><input type='keyboard' bus='usb'/>
    <graphics type='vnc' port='5999' websocket='-1' passwd='secret' keymap='de' sharePolicy='ignore'>
      <listen type='network' network='default'/></graphics>
    <video><model type='qxl'><acceleration accel3d='no'/><resolution x='800' y='600'/></model></video>
    <video><model type='virtio' heads='2'/></video>
    <watchdog model='i6300esb' action='inject-nmi'/><memballoon model='virtio' autodeflate='on'><stats period='2'/>
      <driver packed='on'/></memballoon>
    <rng model='virtio'><rate bytes='1024' period='1000'/><backend model='egd' type='tcp'><source mode='connect' host='h'
      service='1'/></backend></rng>
    <rng model='virtio'><backend model='builtin'/></rng>
    <panic model='isa'><address type='isa' iobase='0x505'/></panic>
  </devices></domain>)");
}

TEST_CASE("the examples are complete domains") {
  const auto folder = std::filesystem::path(LODGE_TREE) / "configs/domains";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    std::ostringstream text;
    text << file.rdbuf();
    goes_through(text.str());
  }
}

}  // namespace lodge
