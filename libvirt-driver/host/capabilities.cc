// virsh capabilities.
#include "libvirt-driver/host/capabilities.h"

#include <fmt/format.h>

#include "libvirt-driver/host/files.h"
#include "libvirt-driver/host/offered.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

std::string text_of(uint64_t number) { return fmt::format("{}", number); }
std::string_view yes_no(bool value) { return value ? "yes" : "no"; }

void write_cpu(XmlWriter& xml, const HostFacts& facts) {
  xml.begin("cpu");
  xml.element("arch", offered::kArch);
  if (!facts.cpu_model.empty()) {
    xml.element("model", facts.cpu_model);
  }
  if (!facts.cpu_vendor.empty()) {
    xml.element("vendor", facts.cpu_vendor);
  }
  if (facts.microcode != 0) {
    xml.empty("microcode", {{"version", text_of(facts.microcode)}});
  }
  if (facts.cpu_signature) {
    xml.empty("signature", {{"family", text_of(facts.cpu_signature->family)},
                            {"model", text_of(facts.cpu_signature->model)},
                            {"stepping", text_of(facts.cpu_signature->stepping)}});
  }
  if (facts.tsc_hz != 0) {
    xml.empty("counter", {{"name", "tsc"}, {"frequency", text_of(facts.tsc_hz)}, {"scaling", yes_no(facts.tsc_scaling)}});
  }
  xml.empty("topology", {{"sockets", text_of(facts.node.sockets)},
                         {"dies", "1"},
                         {"cores", text_of(facts.node.cores)},
                         {"threads", text_of(facts.node.threads)}});
  if (facts.physical_bits != 0) {
    xml.empty("maxphysaddr", {{"mode", "emulate"}, {"bits", text_of(facts.physical_bits)}});
  }
  if (!facts.cpu_model.empty()) {  // features are told over a model's
    for (const std::string& name : facts.cpu_features) {
      xml.empty("feature", {{"name", name}});
    }
  }
  for (const uint32_t size : facts.page_sizes_kib) {
    xml.empty("pages", {{"unit", "KiB"}, {"size", text_of(size)}});
  }
  xml.end();
}

void write_cell(XmlWriter& xml, const HostCell& cell) {
  xml.begin("cell", {{"id", text_of(cell.id)}});
  xml.element("memory", text_of(cell.memory_kib), {{"unit", "KiB"}});
  for (const HostPages& pages : cell.pages) {
    xml.element("pages", text_of(pages.count), {{"unit", "KiB"}, {"size", text_of(pages.size_kib)}});
  }
  if (!cell.distances.empty()) {
    xml.begin("distances");
    for (const auto& [id, distance] : cell.distances) {
      xml.empty("sibling", {{"id", text_of(id)}, {"value", text_of(distance)}});
    }
    xml.end();
  }
  xml.begin("cpus", {{"num", text_of(cell.processors.size())}});
  for (const HostProcessor& cpu : cell.processors) {
    xml.empty("cpu", {{"id", text_of(cpu.id)},
                      {"socket_id", text_of(cpu.socket)},
                      {"die_id", text_of(cpu.die)},
                      {"core_id", text_of(cpu.core)},
                      {"siblings", host::list_text(cpu.siblings)}});
  }
  xml.end();
  xml.end();
}

void write_topology(XmlWriter& xml, const HostFacts& facts) {
  xml.begin("topology");
  xml.begin("cells", {{"num", text_of(facts.topology.cells.size())}});
  for (const HostCell& cell : facts.topology.cells) {
    write_cell(xml, cell);
  }
  xml.end();
  xml.end();
  if (facts.caches.empty()) {
    return;
  }
  xml.begin("cache");
  for (const HostCache& cache : facts.caches) {
    const bool mib = cache.size_kib % 1024 == 0;
    xml.empty("bank", {{"id", text_of(cache.id)},
                       {"level", text_of(cache.level)},
                       {"type", cache.type},
                       {"size", text_of(mib ? cache.size_kib / 1024 : cache.size_kib)},
                       {"unit", mib ? "MiB" : "KiB"},
                       {"cpus", host::list_text(cache.cpus)}});
  }
  xml.end();
}

void write_guest(XmlWriter& xml, const HostFacts& facts) {
  xml.begin("guest");
  xml.element("os_type", offered::kOsType);
  xml.begin("arch", {{"name", offered::kArch}});
  xml.element("wordsize", "64");
  xml.element("emulator", facts.emulator);
  for (const offered::Machine& machine : offered::kMachines) {
    if (machine.canonical.empty()) {
      xml.element("machine", machine.name, {{"maxCpus", text_of(machine.max_vcpus)}});
    } else {
      xml.element("machine", machine.name, {{"canonical", machine.canonical}, {"maxCpus", text_of(machine.max_vcpus)}});
    }
  }
  xml.empty("domain", {{"type", offered::kDomainType}});
  xml.end();
  xml.begin("features");
  for (const offered::GuestFeature& feature : offered::kGuestFeatures) {
    xml.empty(feature.name, {{"default", feature.on ? "on" : "off"}, {"toggle", yes_no(feature.toggle)}});
  }
  xml.end();
  xml.end();
}

}  // namespace

std::string capabilities_xml(const HostFacts& facts) {
  XmlWriter xml;
  xml.begin("capabilities");
  xml.blank_line();
  xml.begin("host");
  xml.element("uuid", uuid_text(facts.uuid));
  write_cpu(xml, facts);
  xml.empty("power_management");
  xml.empty("iommu", {{"support", yes_no(facts.iommu)}});
  if constexpr (!offered::kMigrationTransports.empty()) {
    xml.begin("migration_features");
    xml.empty("live");
    xml.begin("uri_transports");
    for (const std::string_view transport : offered::kMigrationTransports) {
      xml.element("uri_transport", transport);
    }
    xml.end();
    xml.end();
  }
  write_topology(xml, facts);
  xml.begin("secmodel");
  xml.element("model", "none");
  xml.element("doi", "0");
  xml.end();
  xml.end();
  xml.blank_line();
  if (facts.offered) {  // without KVM there is nothing to run guests with
    write_guest(xml, facts);
    xml.blank_line();
  }
  xml.end();
  return xml.str();
}

}  // namespace lodge
