// A board's own parts in domain XML: read, filled in as libvirt does, printed again, told to the monitor, refused.
#include <catch2/catch.hpp>

#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/domains/platform_json.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

struct Parts {
  std::string_view head;  // children of <domain>
  std::string_view features;
  std::string_view devices;
  std::string_view machine = "pc";
};

std::string document(const Parts& parts) {
  return fmt::format(
      "<domain type='kvm'><name>m</name>{}<memory unit='MiB'>64</memory><os><type machine='{}'>hvm</type>"
      "<kernel>/k</kernel></os><features><acpi/>{}</features><devices>{}</devices></domain>",
      parts.head, parts.machine, parts.features, parts.devices);
}

Answer<DomainConfig> completed(const Parts& parts) {
  DomainConfig config = TRY(parse_domain(document(parts)));
  Defaults host;
  host.random = [](std::span<uint8_t> bytes) { std::ranges::fill(bytes, uint8_t{0xAB}); };
  TRY_VOID(complete(config, host));
  TRY_VOID(check(config));
  return config;
}

DomainConfig good(const Parts& parts) {
  auto config = completed(parts);
  INFO((config ? std::string() : config.error().message()));
  REQUIRE(config.has_value());
  return *config;
}

Answer<Json> machine_of(const Parts& parts) {
  DomainConfig config = TRY(completed(parts));
  assign_aliases(config);
  MachineFds fds;
  fds.vsock = 9;
  for (int i = 0; i < 2; ++i) {
    fds.chars[fmt::format("parallel{}", i)].file.file = 20 + i;
  }
  return machine_json(config, fds);
}

Json told(const Parts& parts) {
  const auto machine = machine_of(parts);
  INFO((machine ? std::string() : machine.error().message()));
  REQUIRE(machine.has_value());
  return *machine;
}

std::string refusal(const Parts& parts) {
  const auto machine = machine_of(parts);
  REQUIRE(!machine.has_value());
  return machine.error().message();
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr std::string_view kChosen = "abababab-abab-4bab-abab-abababababab";

}  // namespace

TEST_CASE("a generation ID that is asked for is chosen and stays") {
  const DomainConfig config = good({.head = "<genid/>"});
  REQUIRE(config.genid);
  CHECK(print_uuid(*config.genid) == kChosen);
  const std::string printed = print_domain(config);
  CHECK(has(printed, fmt::format("  <genid>{}</genid>\n  <memory", kChosen)));
  const auto again = parse_domain(printed);
  REQUIRE(again);
  CHECK(again->genid == config.genid);
  CHECK(told({.head = "<genid/>"})["vmgenid"] == kChosen);

  const DomainConfig given = good({.head = "<genid>01234567-89AB-cdef-0123-456789abcdef</genid>"});
  CHECK(print_uuid(*given.genid) == "01234567-89ab-cdef-0123-456789abcdef");
  CHECK_FALSE(good({}).genid);
  CHECK_FALSE(told({}).contains("vmgenid"));
  CHECK(has(refusal({.head = "<genid>x</genid>"}), "malformed genid element"));
}

TEST_CASE("vmcoreinfo is on, off, or not mentioned") {
  CHECK(told({.features = "<vmcoreinfo/>"})["vmcoreinfo"] == true);
  CHECK(told({.features = "<vmcoreinfo state='on'/>", .machine = "microvm"})["vmcoreinfo"] == true);
  CHECK_FALSE(told({.features = "<vmcoreinfo state='off'/>"}).contains("vmcoreinfo"));
  CHECK_FALSE(told({}).contains("vmcoreinfo"));
  CHECK(has(print_domain(good({.features = "<vmcoreinfo/>"})), "    <vmcoreinfo state='on'/>\n"));
  CHECK(has(print_domain(good({.features = "<vmcoreinfo state='off'/>"})), "    <vmcoreinfo state='off'/>\n"));
  CHECK_FALSE(has(print_domain(good({})), "vmcoreinfo"));
}

TEST_CASE("an HPET is there when it is named and not said to be absent") {
  const auto clock = [](std::string_view timer) { return fmt::format("<clock offset='utc'>{}</clock>", timer); };
  const std::string yes = clock("<timer name='hpet' present='yes'/>");
  const std::string no = clock("<timer name='hpet' present='no'/>");
  const std::string named = clock("<timer name='hpet'/>");
  CHECK(told({.head = yes})["clock"]["hpet"] == true);
  CHECK(told({.head = named})["clock"]["hpet"] == true);
  CHECK_FALSE(told({.head = no}).contains("clock"));
  CHECK_FALSE(told({}).contains("clock"));
  CHECK_FALSE(told({.head = no, .machine = "microvm"}).contains("clock"));
  CHECK(has(refusal({.head = yes, .machine = "microvm"}), "/domain/clock/timer[@name='hpet']"));
  const std::string catchup = clock("<timer name='hpet' tickpolicy='catchup'/>");
  CHECK(has(refusal({.head = catchup}), "/domain/clock/timer[@name='hpet']/@tickpolicy"));
}

TEST_CASE("the PIT's missed ticks come later or not at all") {
  const auto clock = [](std::string_view policy) {
    return fmt::format("<clock offset='utc'><timer name='pit'{}/></clock>", policy);
  };
  CHECK_FALSE(told({.head = clock("")}).contains("clock"));
  CHECK_FALSE(told({.head = clock(" tickpolicy='delay'")}).contains("clock"));
  CHECK(told({.head = clock(" tickpolicy='discard'")})["clock"]["lost_ticks"] == "discard");
  for (const char* policy : {" tickpolicy='catchup'", " tickpolicy='merge'"}) {
    CHECK(has(refusal({.head = clock(policy)}), "/domain/clock/timer[@name='pit']/@tickpolicy"));
  }
}

TEST_CASE("parallel ports get numbers, aliases and what is on the other side") {
  constexpr std::string_view kPorts =
      "<parallel type='pty'><target port='0'/></parallel><parallel type='file'><source path='/p'/></parallel>";
  const DomainConfig config = good({.devices = kPorts});
  REQUIRE(config.devices.parallels.size() == 2);
  CHECK(config.devices.parallels[1].port == 1U);
  const std::string printed = print_domain(config);
  CHECK(has(printed, "    <parallel type='file'>\n      <source path='/p'/>\n      <target port='1'/>\n    </parallel>\n"));
  CHECK(parse_domain(printed)->devices.parallels == config.devices.parallels);
  const Json machine = told({.devices = kPorts});
  CHECK(machine["parallels"] == Json::parse(R"([{"kind":"pty"},{"kind":"file","path":"/p","fd":21}])"));
  CHECK_FALSE(machine.contains("serials"));

  // One without the other; a printer that takes all and keeps nothing.
  const Json second = told({.devices = "<parallel type='null'><target port='1'/></parallel>"});
  CHECK(second["parallels"] == Json::parse(R"([{"kind":"none"},{"kind":"null"}])"));

  CHECK(has(refusal({.devices = "<parallel type='pty'/>", .machine = "microvm"}), "/domain/devices/parallel:"));
  CHECK(has(refusal({.devices = "<parallel type='pty'><target port='2'/></parallel>"}), "parallel ports 0 to 1"));
  CHECK(has(refusal({.devices = "<parallel type='pty'><address type='isa' iobase='0x3bc'/></parallel>"}), "/address"));
  CHECK(has(refusal({.devices = "<parallel type='tcp'><source host='h' service='1'/></parallel>"}), "/parallel/@type"));
  CHECK(has(refusal({.devices = "<parallel type='file'/>"}), "source path"));
  CHECK(has(refusal({.devices = "<parallel type='pty'><target port='0'/></parallel>"
                                "<parallel type='pty'><target port='0'/></parallel>"}),
            "given twice"));
}

TEST_CASE("a serial port of type null is there, too") {
  CHECK(told({.devices = "<serial type='null'/>"})["serials"] == Json::parse(R"([{"kind":"null"}])"));
}

TEST_CASE("a vsock has an address of its own or one that is chosen") {
  const DomainConfig chosen = good({.devices = "<vsock/>"});
  REQUIRE(chosen.devices.vsocks.size() == 1);
  CHECK(chosen.devices.vsocks[0].model == VsockModel::virtio);
  CHECK(chosen.devices.vsocks[0].auto_cid == YesNo::yes);
  CHECK(std::holds_alternative<PciAddress>(*chosen.devices.vsocks[0].address));
  CHECK(has(print_domain(chosen), "    <vsock model='virtio'>\n      <cid auto='yes'/>\n      <address type='pci'"));

  const Parts fixed{.devices = "<vsock model='virtio'><cid auto='no' address='77'/></vsock>"};
  CHECK(has(print_domain(good(fixed)), "<cid auto='no' address='77'/>"));
  CHECK(parse_domain(print_domain(good(fixed)))->devices.vsocks == good(fixed).devices.vsocks);
  const Json json = told(fixed)["vsock"];
  CHECK(json["cid"] == 77);
  CHECK(json["vhost_fd"] == 9);
  CHECK(json["enabled"] == true);
  CHECK(json["slot"].is_number());
  CHECK(good({.devices = "<vsock><cid address='5'/></vsock>"}).devices.vsocks[0].auto_cid == YesNo::no);

  // What was chosen for a run is the run's.
  DomainConfig live = chosen;
  live.devices.vsocks[0].cid = 12;
  assign_aliases(live);
  CHECK(live.devices.vsocks[0].alias == "vsock0");
  CHECK(has(print_domain(live, {.live = true}), "<cid auto='yes' address='12'/>"));
  CHECK_FALSE(has(print_domain(live), "address='12'"));

  CHECK(has(refusal({.devices = "<vsock><cid address='2'/></vsock>"}), "guest CIDs must be >= 3"));
  CHECK(has(refusal({.devices = "<vsock><cid address='4294967295'/></vsock>"}), "guest CIDs"));
  CHECK(has(refusal({.devices = "<vsock><cid auto='no'/></vsock>"}), "needs an address"));
  CHECK(has(refusal({.devices = "<vsock/><vsock/>"}), "only a single vsock device"));
  CHECK(has(refusal({.devices = "<vsock model='virtio-transitional'/>"}), "/domain/devices/vsock/@model"));
  CHECK(has(refusal({.devices = "<vsock><driver packed='on'/></vsock>"}), "/domain/devices/vsock/driver"));
}

TEST_CASE("a vsock is added to a definition once and found again") {
  DomainConfig config = good({});
  const auto device = parse_device("<vsock model='virtio'><cid auto='no' address='4'/></vsock>");
  REQUIRE(device);
  REQUIRE(add_device(config, *device));
  CHECK_FALSE(add_device(config, *device));
  CHECK(find_device(config, *device));
  REQUIRE(remove_device(config, *device));
  CHECK(config.devices.vsocks.empty());
  const auto port = parse_device("<parallel type='pty'/>");
  REQUIRE(port);
  REQUIRE(add_device(config, *port));
  REQUIRE(remove_device(config, *port));
  CHECK(config.devices.parallels.empty());
}

}  // namespace lodge
