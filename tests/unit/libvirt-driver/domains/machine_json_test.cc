// What the monitor is told of a domain: only settings that it has, and refusals that name the element.
#include "libvirt-driver/domains/machine_json.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"

namespace lodge {
namespace {

Json schema() {
  const auto tree = std::filesystem::path(LODGE_TREE);
  return Json::parse(*read_file((tree / "configs/machine.schema.json").string(), 1 << 20));
}

// Every key of `told` is one of the schema's.
void check_keys(const Json& told, const Json& known, const std::string& path) {
  if (told.is_array()) {
    for (const Json& element : told) {
      check_keys(element, known.value("items", Json::object()), path + "[]");
    }
  } else if (told.is_object()) {
    for (const auto& [key, value] : told.items()) {
      INFO(path << "." << key);
      REQUIRE(known.contains("properties"));
      REQUIRE(known["properties"].contains(key));
      check_keys(value, known["properties"][key], path + "." + key);
    }
  }
}

Answer<Json> machine_of(std::string_view devices, std::string_view head = "") {
  const std::string xml = fmt::format(
      "<domain type='kvm'><name>m</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>{}"
      "<os><type machine='pc'>hvm</type><kernel>/k</kernel><initrd>/i</initrd><cmdline>c</cmdline></os>"
      "<devices>{}</devices></domain>",
      head, devices);
  DomainConfig config = TRY(parse_domain(xml));
  TRY_VOID(complete(config, Defaults{}));
  assign_aliases(config);
  MachineFds fds;
  fds.control = 3;
  fds.end = 5;
  fds.disks["virtio-disk0"] = 6;
  fds.taps["net0"] = {4};
  return machine_json(config, fds);
}

}  // namespace

TEST_CASE("the monitor knows every setting that it is given") {
  const auto machine = machine_of(
      "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap' error_policy='enospace' "
      "rerror_policy='report' queues='2' queue_size='128' event_idx='off' packed='on'/><source file='/d'/>"
      "<target dev='vda' bus='virtio'/><serial>S</serial><readonly/></disk>"
      "<interface type='bridge'><source bridge='br0'/><model type='virtio'/><mtu size='1500'/><link "
      "state='down'/></interface>"
      "<interface type='user'><model type='virtio'/></interface>"
      "<serial type='pty'><log file='/l' append='on'/></serial><serial type='file'><source path='/f' append='on'/></serial>"
      "<console type='pty'><target type='virtio'/></console>"
      "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
      "<rng model='virtio'><rate bytes='100' period='50'/><backend model='random'>/dev/urandom</backend></rng>"
      "<memballoon model='virtio' autodeflate='on' freePageReporting='on'/><panic model='isa'/>",
      "<iothreads>2</iothreads><memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages><locked/></memoryBacking>"
      "<cpu mode='custom'><model>qemu64</model><topology sockets='1' dies='1' cores='2' threads='1'/>"
      "<feature policy='disable' name='svm'/><numa><cell id='0' cpus='0-1' memory='64' unit='MiB'/></numa></cpu>"
      "<clock offset='utc'><timer name='tsc' frequency='2000000000'/></clock>");
  INFO((machine ? std::string() : machine.error().message()));
  REQUIRE(machine.has_value());
  check_keys(*machine, schema(), "machine");
  CHECK((*machine)["virtio_serial"]["slot"].get<int>() > 1);
  CHECK((*machine)["end_fd"] == 5);
  CHECK((*machine)["disks"][0]["fd"] == 6);
  CHECK((*machine)["control_fd"] == 3);
  CHECK((*machine)["nets"][0]["fds"] == Json::array({4}));
  CHECK((*machine)["nets"][0]["link"] == false);
  CHECK((*machine)["channels"][0]["name"] == "org.qemu.guest_agent.0");
  CHECK((*machine)["cpu"]["features"] == Json::array({"-svm"}));
}

TEST_CASE("what the monitor cannot do is refused by the element's path") {
  for (const auto& [devices, path] : {
           std::pair{"<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>", "controller[@type='sata']"},
           std::pair{"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/d'/>"
                     "<target dev='vda' bus='virtio'/></disk>",
                     "driver/@type"},
           std::pair{"<interface type='direct'><source dev='eth0' mode='bridge'/><model type='virtio'/></interface>",
                     "interface"},
           std::pair{"<graphics type='spice'/>", "/domain/devices/graphics/@type"},
       }) {
    const auto machine = machine_of(devices);
    REQUIRE(!machine.has_value());
    CHECK(machine.error().code == VIR_ERR_CONFIG_UNSUPPORTED);
    INFO(machine.error().message());
    CHECK(machine.error().message().find(path) != std::string::npos);
  }
}

}  // namespace lodge
