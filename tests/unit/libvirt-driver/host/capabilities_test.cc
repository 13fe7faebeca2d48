#include "libvirt-driver/host/capabilities.h"

#include <libxml/relaxng.h>

#include <memory>

#include "libvirt-driver/host/cpu_match.h"
#include "libvirt-driver/host/offered.h"
#include "libvirt-driver/xml/xml_reader.h"
#include "tests/unit/libvirt-driver/host/cpu_map_tree.h"

namespace lodge {
namespace {

// The first complaint of libvirt's own schema, "" when there is none.
std::string schema_complaint(const std::string& xml, const std::string& schema) {
  const std::string file = "/usr/share/libvirt/schemas/" + schema;
  const std::unique_ptr<xmlRelaxNGParserCtxt, decltype(&xmlRelaxNGFreeParserCtxt)> parser(
      xmlRelaxNGNewParserCtxt(file.c_str()), &xmlRelaxNGFreeParserCtxt);
  const std::unique_ptr<xmlRelaxNG, decltype(&xmlRelaxNGFree)> grammar(xmlRelaxNGParse(parser.get()), &xmlRelaxNGFree);
  if (!grammar) {
    return "the schema " + file + " cannot be read";
  }
  const std::unique_ptr<xmlRelaxNGValidCtxt, decltype(&xmlRelaxNGFreeValidCtxt)> validator(
      xmlRelaxNGNewValidCtxt(grammar.get()), &xmlRelaxNGFreeValidCtxt);
  const std::unique_ptr<xmlDoc, decltype(&xmlFreeDoc)> document(
      xmlReadMemory(xml.data(), static_cast<int>(xml.size()), nullptr, nullptr, XML_PARSE_NONET), &xmlFreeDoc);
  if (!document) {
    return "no XML";
  }
  std::string complaint;
  xmlRelaxNGSetValidStructuredErrors(
      validator.get(),
      [](void* out, xmlError* error) {
        auto* text = static_cast<std::string*>(out);
        *text = text->empty() && error->message != nullptr ? error->message : *text;
      },
      &complaint);
  return xmlRelaxNGValidateDoc(validator.get(), document.get()) == 0 ? "" : "not valid by " + schema + ": " + complaint;
}

XmlDocument parsed(const std::string& xml) {
  auto out = XmlDocument::parse(xml, "test");
  INFO(xml);
  REQUIRE(out);
  return std::move(*out);
}

// The element reached by names, which must be there.
XmlNode at(const XmlNode& root, std::initializer_list<const char*> names) {
  XmlNode here = root;
  for (const char* name : names) {
    INFO(name);
    const auto child = here.child(name);
    REQUIRE(child);
    here = *child;
  }
  return here;
}

XmlNode mode(const XmlNode& root, const std::string& name) {
  for (const XmlNode& child : at(root, {"cpu"}).children()) {
    if (child.attribute("name") == name) {
      return child;
    }
  }
  FAIL("there is no mode " << name);
  return root;
}

struct Fixture {
  HostTree tree;
  CpuModels models = small_map(tree);
  HostUuid uuid = parse_host_uuid("01234567-89ab-cdef-0123-456789abcdef").value();
  CpuidData kvm_data = processor(0b0111);

  Fixture() {
    tree.two_sockets();
    tree.write("proc/cpuinfo", "processor\t: 0\nmicrocode\t: 0x1000065\ncpu MHz\t\t: 2596.138\n");
    for (int cpu = 0; cpu < 8; ++cpu) {
      const std::string dir = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index";
      tree.write(dir + "0/level", "1\n");
      tree.write(dir + "1/level", "3\n");
      tree.write(dir + "1/id", std::to_string(cpu % 4 / 2) + "\n");
      tree.write(dir + "1/type", "Unified\n");
      tree.write(dir + "1/size", cpu % 4 / 2 == 0 ? "32768K\n" : "1500K\n");
      tree.write(dir + "1/shared_cpu_list", cpu % 4 / 2 == 0 ? "0-1,4-5\n" : "2-3,6-7\n");
    }
  }
  HostFacts facts(bool kvm = true) const {
    CpuidData real = processor(0b1111);
    real.leaves.push_back({0x80000008, 0, 0x3030, 0, 0, 0});
    auto out = host_facts(
        tree.paths(), uuid, models, [real]() -> Answer<CpuidData> { return real; },
        [this, kvm]() -> Answer<CpuidData> {
          return kvm ? Answer<CpuidData>(kvm_data) : call_error(VIR_ERR_CONFIG_UNSUPPORTED, "no KVM");
        });
    INFO((out ? "" : out.error().message()));
    REQUIRE(out);
    return *out;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "capabilities_are_valid_by_libvirts_schema") {
  CHECK(schema_complaint(capabilities_xml(facts()), "capability.rng") == "");
  CHECK(schema_complaint(capabilities_xml(facts(false)), "capability.rng") == "");
  CHECK(!schema_complaint("<capabilities/>", "capability.rng").empty());  // the check itself can fail
}

TEST_CASE_METHOD(Fixture, "domain_capabilities_are_valid_by_libvirts_schema") {
  CHECK(schema_complaint(domain_capabilities_xml({}, facts(), models).value(), "domaincaps.rng").empty());
  CHECK(schema_complaint(domain_capabilities_xml({}, facts(false), models).value(), "domaincaps.rng").empty());
}

TEST_CASE_METHOD(Fixture, "capabilities_tell_the_host") {
  const XmlDocument document = parsed(capabilities_xml(facts()));
  const XmlNode root = document.root();
  CHECK(at(root, {"host", "uuid"}).text() == "01234567-89ab-cdef-0123-456789abcdef");
  const XmlNode cpu = at(root, {"host", "cpu"});
  CHECK(at(cpu, {"arch"}).text() == "x86_64");
  CHECK(at(cpu, {"model"}).text() == "grown");
  CHECK(at(cpu, {"vendor"}).text() == "One");
  CHECK(at(cpu, {"microcode"}).attribute("version") == "16777317");
  CHECK(at(cpu, {"signature"}).attribute("model") == "85");
  CHECK(at(cpu, {"maxphysaddr"}).attribute("bits") == "48");
  CHECK(at(cpu, {"topology"}).attribute("threads") == "2");
  CHECK(!cpu.child("counter"));  // its TSC is not said to be constant
  const XmlNode cells = at(root, {"host", "topology", "cells"});
  REQUIRE(cells.children().size() == 2);
  CHECK(at(cells.children()[1], {"memory"}).text() == "2000000");
  CHECK(at(cells.children()[1], {"pages"}).text() == std::to_string((2000000 - 4 * 2048) / 4));
  CHECK(at(cells.children()[1], {"distances"}).children().at(0).attribute("value") == "21");
  CHECK(at(cells.children()[1], {"cpus"}).children().at(0).attribute("siblings") == "2,6");
  const XmlNode cache = at(root, {"host", "cache"});
  REQUIRE(cache.children().size() == 2);
  CHECK(cache.children()[0].attribute("size") == "32");
  CHECK(cache.children()[0].attribute("unit") == "MiB");
  CHECK(cache.children()[1].attribute("size") == "1500");
  CHECK(cache.children()[1].attribute("cpus") == "2-3,6-7");
}

TEST_CASE_METHOD(Fixture, "capabilities_offer_what_the_table_has") {
  const XmlDocument document = parsed(capabilities_xml(facts()));
  const XmlNode root = document.root();
  const XmlNode arch = at(root, {"guest", "arch"});
  CHECK(at(arch, {"machine"}).text() == offered::kMachines.front().name);
  size_t machines = 0;
  for (const XmlNode& child : arch.children()) {
    machines += child.name() == "machine" ? 1 : 0;
  }
  CHECK(machines == offered::kMachines.size());
  CHECK(at(arch, {"domain"}).attribute("type") == "kvm");
  CHECK(at(arch, {"emulator"}).text() == "/usr/libexec/lodge-vmm");
  CHECK(!parsed(capabilities_xml(facts(false))).root().child("guest"));
}

TEST_CASE_METHOD(Fixture, "a_constant_tsc_is_told_with_its_frequency") {
  tree.write("cpu_map/g.xml", "<cpus><feature name='invtsc'><cpuid eax_in='0x1' edx='0x1'/></feature></cpus>");
  tree.write("cpu_map/index.xml",
             "<cpus><arch name='x86'><include filename='f.xml'/><include filename='g.xml'/><include filename='m.xml'/>"
             "</arch></cpus>");
  models = CpuModels::load(tree.paths().cpu_map).value();
  kvm_data.tsc_hz = 2596000000;
  const XmlDocument document = parsed(capabilities_xml(facts()));
  const XmlNode root = document.root();
  CHECK(at(root, {"host", "cpu", "counter"}).attribute("frequency") == "2596000000");
  CHECK(at(root, {"host", "cpu", "counter"}).attribute("scaling") == "no");
}

TEST_CASE_METHOD(Fixture, "domain_capabilities_of_the_default_and_of_each_machine") {
  const HostFacts host = facts();
  const XmlDocument document = parsed(domain_capabilities_xml({}, host, models).value());
  const XmlNode root = document.root();
  CHECK(at(root, {"path"}).text() == host.emulator);
  CHECK(at(root, {"domain"}).text() == "kvm");
  CHECK(at(root, {"arch"}).text() == "x86_64");
  CHECK(at(root, {"machine"}).text() == "pc");
  CHECK(at(root, {"vcpu"}).attribute("max") == "255");
  CHECK(at(root, {"devices", "disk"}).attribute("supported") == "yes");
  CHECK(at(root, {"devices", "graphics"}).attribute("supported") == "yes");
  CHECK(at(root, {"os", "loader", "value"}).text() == offered::kBios);
  for (const offered::Machine& machine : offered::kMachines) {
    const auto xml = domain_capabilities_xml({host.emulator, "x86_64", std::string(machine.name), "kvm"}, host, models);
    REQUIRE(xml);
    CHECK(schema_complaint(*xml, "domaincaps.rng").empty());
    const XmlDocument told = parsed(*xml);
    CHECK(at(told.root(), {"machine"}).text() == machine.name);
    CHECK(at(told.root(), {"devices", "graphics"}).attribute("supported") == "yes");
    CHECK(at(told.root(), {"devices", "video", "enum", "value"}).text() == (machine.pc ? "vga" : "virtio"));
    CHECK(at(told.root(), {"os", "loader"}).attribute("supported") == (machine.pc ? "yes" : "no"));
  }
}

TEST_CASE_METHOD(Fixture, "domain_capabilities_tell_usable_models_by_what_kvm_offers") {
  const XmlDocument document = parsed(domain_capabilities_xml({}, facts(), models).value());
  const XmlNode root = document.root();
  const XmlNode custom = mode(root, "custom");
  REQUIRE(custom.children().size() == models.models().size());
  CHECK(custom.children()[0].text() == "old");
  CHECK(custom.children()[0].attribute("usable") == "yes");
  CHECK(custom.children()[0].attribute("vendor") == "unknown");
  CHECK(custom.children()[2].text() == "grown");
  CHECK(custom.children()[2].attribute("usable") == "no");
  CHECK(custom.children()[2].attribute("vendor") == "One");
  const XmlNode model = mode(root, "host-model");
  CHECK(model.attribute("supported") == "yes");
  CHECK(at(model, {"model"}).attribute("fallback") == "forbid");
  CHECK(mode(root, "host-passthrough").attribute("supported") == "yes");
}

TEST_CASE_METHOD(Fixture, "domain_capabilities_without_kvm_offer_no_cpu") {
  const XmlDocument document = parsed(domain_capabilities_xml({}, facts(false), models).value());
  const XmlNode root = document.root();
  for (const char* name : {"host-passthrough", "maximum", "host-model", "custom"}) {
    CHECK(mode(root, name).attribute("supported") == "no");
  }
}

TEST_CASE_METHOD(Fixture, "domain_capabilities_refuse_what_is_not_offered") {
  const HostFacts host = facts();
  const auto refused = [&](const DomainCapabilitiesRequest& request, const char* part) {
    const auto xml = domain_capabilities_xml(request, host, models);
    REQUIRE(!xml);
    CHECK(xml.error().code == VIR_ERR_INVALID_ARG);
    INFO(xml.error().detail);
    CHECK(xml.error().detail.find(part) != std::string::npos);
  };
  refused({{}, "toaster", {}, {}}, "unknown architecture: toaster");
  refused({{}, "aarch64", {}, {}}, "unable to find any emulator");
  refused({{}, "i686", {}, {}}, "i686");
  refused({{}, {}, {}, "qemu"}, "'qemu'");
  refused({{}, {}, {}, "wine"}, "unknown virttype: wine");
  refused({{}, {}, "q35", {}}, "it has 'pc', 'microvm'");
  refused({"/usr/bin/qemu-system-x86_64", {}, {}, {}}, "/usr/libexec/lodge-vmm");
}

}  // namespace lodge
