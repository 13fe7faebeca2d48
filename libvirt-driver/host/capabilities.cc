// virsh capabilities.
#include "libvirt-driver/host/capabilities.h"

#include <fmt/format.h>

#include "libvirt-driver/host/files.h"
#include "libvirt-driver/host/offered.h"
#include "libvirt-driver/host/xml_text.h"

namespace lodge {
namespace {

using host::XmlText;

std::string text_of(uint64_t number) { return fmt::format("{}", number); }
std::string_view yes_no(bool value) { return value ? "yes" : "no"; }

void write_cpu(XmlText& xml, const HostFacts& facts) {
  xml.open("cpu");
  xml.text("arch", offered::kArch);
  if (!facts.cpu_model.empty()) {
    xml.text("model", facts.cpu_model);
  }
  if (!facts.cpu_vendor.empty()) {
    xml.text("vendor", facts.cpu_vendor);
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
  xml.close("cpu");
}

void write_cell(XmlText& xml, const HostCell& cell) {
  xml.open("cell", {{"id", text_of(cell.id)}});
  xml.text("memory", text_of(cell.memory_kib), {{"unit", "KiB"}});
  for (const HostPages& pages : cell.pages) {
    xml.text("pages", text_of(pages.count), {{"unit", "KiB"}, {"size", text_of(pages.size_kib)}});
  }
  if (!cell.distances.empty()) {
    xml.open("distances");
    for (const auto& [id, distance] : cell.distances) {
      xml.empty("sibling", {{"id", text_of(id)}, {"value", text_of(distance)}});
    }
    xml.close("distances");
  }
  xml.open("cpus", {{"num", text_of(cell.processors.size())}});
  for (const HostProcessor& cpu : cell.processors) {
    xml.empty("cpu", {{"id", text_of(cpu.id)},
                      {"socket_id", text_of(cpu.socket)},
                      {"die_id", text_of(cpu.die)},
                      {"core_id", text_of(cpu.core)},
                      {"siblings", host::list_text(cpu.siblings)}});
  }
  xml.close("cpus");
  xml.close("cell");
}

void write_topology(XmlText& xml, const HostFacts& facts) {
  xml.open("topology");
  xml.open("cells", {{"num", text_of(facts.topology.cells.size())}});
  for (const HostCell& cell : facts.topology.cells) {
    write_cell(xml, cell);
  }
  xml.close("cells");
  xml.close("topology");
  if (facts.caches.empty()) {
    return;
  }
  xml.open("cache");
  for (const HostCache& cache : facts.caches) {
    const bool mib = cache.size_kib % 1024 == 0;
    xml.empty("bank", {{"id", text_of(cache.id)},
                       {"level", text_of(cache.level)},
                       {"type", cache.type},
                       {"size", text_of(mib ? cache.size_kib / 1024 : cache.size_kib)},
                       {"unit", mib ? "MiB" : "KiB"},
                       {"cpus", host::list_text(cache.cpus)}});
  }
  xml.close("cache");
}

void write_guest(XmlText& xml, const HostFacts& facts) {
  xml.open("guest");
  xml.text("os_type", offered::kOsType);
  xml.open("arch", {{"name", offered::kArch}});
  xml.text("wordsize", "64");
  xml.text("emulator", facts.emulator);
  for (const offered::Machine& machine : offered::kMachines) {
    if (machine.canonical.empty()) {
      xml.text("machine", machine.name, {{"maxCpus", text_of(machine.max_vcpus)}});
    } else {
      xml.text("machine", machine.name, {{"canonical", machine.canonical}, {"maxCpus", text_of(machine.max_vcpus)}});
    }
  }
  xml.empty("domain", {{"type", offered::kDomainType}});
  xml.close("arch");
  xml.open("features");
  for (const offered::GuestFeature& feature : offered::kGuestFeatures) {
    xml.empty(feature.name, {{"default", feature.on ? "on" : "off"}, {"toggle", yes_no(feature.toggle)}});
  }
  xml.close("features");
  xml.close("guest");
}

}  // namespace

std::string capabilities_xml(const HostFacts& facts) {
  XmlText xml;
  xml.open("capabilities");
  xml.blank_line();
  xml.open("host");
  xml.text("uuid", uuid_text(facts.uuid));
  write_cpu(xml, facts);
  xml.empty("power_management");
  xml.empty("iommu", {{"support", yes_no(facts.iommu)}});
  if constexpr (!offered::kMigrationTransports.empty()) {
    xml.open("migration_features");
    xml.empty("live");
    xml.open("uri_transports");
    for (const std::string_view transport : offered::kMigrationTransports) {
      xml.text("uri_transport", transport);
    }
    xml.close("uri_transports");
    xml.close("migration_features");
  }
  write_topology(xml, facts);
  xml.open("secmodel");
  xml.text("model", "none");
  xml.text("doi", "0");
  xml.close("secmodel");
  xml.close("host");
  xml.blank_line();
  if (facts.offered) {  // without KVM there is nothing to run guests with
    write_guest(xml, facts);
    xml.blank_line();
  }
  xml.close("capabilities");
  return xml.take();
}

}  // namespace lodge
