// virsh domcapabilities.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "libvirt-driver/host/capabilities.h"
#include "libvirt-driver/host/cpu_match.h"
#include "libvirt-driver/host/offered.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

using offered::Element;
using offered::Enum;

constexpr std::array<std::string_view, 16> kVirtTypes{"qemu",      "kqemu", "kvm",    "xen",    "lxc",  "uml",
                                                      "openvz",    "test",  "vmware", "hyperv", "vbox", "phyp",
                                                      "parallels", "bhyve", "vz",     "hvf"};

std::string_view yes_no(bool value) { return value ? "yes" : "no"; }

void write_enum(XmlWriter& xml, const Enum& item) {
  if (item.values.front().empty()) {
    xml.empty("enum", {{"name", item.name}});
    return;
  }
  xml.begin("enum", {{"name", item.name}});
  for (const std::string_view value : item.values) {
    if (!value.empty()) {
      xml.element("value", value);
    }
  }
  xml.end();
}

// `more`: values besides its own.
void write_element(XmlWriter& xml, const Element& element, std::span<const std::string> more = {}) {
  if (element.enums.front().name.empty() && element.value.empty()) {
    xml.empty(element.name, {{"supported", yes_no(element.supported)}});
    return;
  }
  xml.begin(element.name, {{"supported", yes_no(element.supported)}});
  if (!element.value.empty()) {
    xml.element("value", element.value);
  }
  for (const std::string& value : more) {
    xml.element("value", value);
  }
  for (const Enum& item : element.enums) {
    if (!item.name.empty()) {
      write_enum(xml, item);
    }
  }
  xml.end();
}

void write_elements(XmlWriter& xml, std::string_view parent, const auto& elements) {
  xml.begin(parent);
  for (const Element& element : elements) {
    write_element(xml, element);
  }
  xml.end();
}

void write_os(XmlWriter& xml, const HostFacts& facts, bool pc) {
  xml.begin("os", {{"supported", "yes"}});
  if (pc) {
    xml.begin("enum", {{"name", "firmware"}});
    xml.element("value", offered::kBiosFirmware);
    if (!facts.uefi.empty()) {
      xml.element("value", offered::kUefiFirmware);
    }
    xml.end();
    write_element(xml, offered::kLoader, facts.uefi);
  } else {
    xml.empty("enum", {{"name", "firmware"}});
    write_element(xml, offered::kNoLoader);
  }
  xml.end();
}

void write_simple_mode(XmlWriter& xml, std::string_view name, const Enum& migratable, bool supported) {
  if (!supported) {
    xml.empty("mode", {{"name", name}, {"supported", "no"}});
    return;
  }
  xml.begin("mode", {{"name", name}, {"supported", "yes"}});
  write_enum(xml, migratable);
  xml.end();
}

void write_host_model(XmlWriter& xml, const CpuModels& models, const std::optional<CpuFacts>& offered) {
  const auto cpu = offered ? std::optional(host_model(models, *offered)) : std::nullopt;
  if (!cpu || !*cpu) {
    xml.empty("mode", {{"name", "host-model"}, {"supported", "no"}});
    return;
  }
  const CpuDescription& description = **cpu;
  xml.begin("mode", {{"name", "host-model"}, {"supported", "yes"}});
  xml.element("model", description.model, {{"fallback", description.fallback}});
  if (!description.vendor.empty()) {
    xml.element("vendor", description.vendor);
  }
  for (const CpuFeatureWish& feature : description.features) {
    xml.empty("feature", {{"policy", policy_name(feature.policy)}, {"name", feature.name}});
  }
  xml.end();
}

void write_custom(XmlWriter& xml, const CpuModels& models, const std::optional<CpuFacts>& offered) {
  if (!offered) {
    xml.empty("mode", {{"name", "custom"}, {"supported", "no"}});
    return;
  }
  xml.begin("mode", {{"name", "custom"}, {"supported", "yes"}});
  for (const NamedModel& model : models.models()) {
    const bool usable = missing_features(models, model, *offered).empty();
    xml.element("model", model.name,
                {{"usable", yes_no(usable)}, {"vendor", model.vendor.empty() ? "unknown" : model.vendor}});
  }
  xml.end();
}

}  // namespace

Answer<void> check_offered(const DomainCapabilitiesRequest& request, const HostFacts& facts) {
  if (request.virttype && std::find(kVirtTypes.begin(), kVirtTypes.end(), *request.virttype) == kVirtTypes.end()) {
    return call_error(VIR_ERR_INVALID_ARG, "unknown virttype: {}", *request.virttype);
  }
  if (request.arch && !known_architecture(*request.arch)) {
    return call_error(VIR_ERR_INVALID_ARG, "unknown architecture: {}", *request.arch);
  }
  if (request.arch && *request.arch != offered::kArch) {
    return call_error(VIR_ERR_INVALID_ARG, "unable to find any emulator to serve '{}' architecture; Lodge has {} guests",
                      *request.arch, offered::kArch);
  }
  if (request.emulator && *request.emulator != facts.emulator) {
    return call_error(VIR_ERR_INVALID_ARG, "'{}' is not this daemon's emulator; that is '{}'", *request.emulator,
                      facts.emulator);
  }
  if (request.virttype && *request.virttype != offered::kDomainType) {
    return call_error(VIR_ERR_INVALID_ARG, "domains of type '{}' are not supported by '{}'; it has '{}'", *request.virttype,
                      facts.emulator, offered::kDomainType);
  }
  if (request.machine && offered::machine(*request.machine) == nullptr) {
    std::string names;
    for (const offered::Machine& machine : offered::kMachines) {
      names += fmt::format("{}'{}'", names.empty() ? "" : ", ", machine.name);
    }
    return call_error(VIR_ERR_INVALID_ARG, "the machine '{}' is not supported by emulator '{}'; it has {}", *request.machine,
                      facts.emulator, names);
  }
  return {};
}

Answer<std::string> domain_capabilities_xml(const DomainCapabilitiesRequest& request, const HostFacts& facts,
                                            const CpuModels& models) {
  TRY_VOID(check_offered(request, facts));
  const offered::Machine* named = request.machine ? offered::machine(*request.machine) : nullptr;
  const offered::Machine& machine = named != nullptr ? *named : offered::kMachines.front();
  XmlWriter xml;
  xml.begin("domainCapabilities");
  xml.element("path", facts.emulator);
  xml.element("domain", offered::kDomainType);
  xml.element("machine", machine.canonical.empty() ? machine.name : machine.canonical);
  xml.element("arch", offered::kArch);
  xml.empty("vcpu", {{"max", fmt::format("{}", machine.max_vcpus)}});
  xml.empty("iothreads", {{"supported", yes_no(offered::kIothreads)}});
  write_os(xml, facts, machine.pc);
  xml.begin("cpu");
  write_simple_mode(xml, "host-passthrough", offered::kPassthroughMigratable, facts.offered.has_value());
  write_simple_mode(xml, "maximum", offered::kMaximumMigratable, facts.offered.has_value());
  write_host_model(xml, models, facts.offered);
  write_custom(xml, models, facts.offered);
  xml.end();
  write_element(xml, offered::kMemoryBacking);
  machine.pc ? write_elements(xml, "devices", offered::kPcDevices)
             : write_elements(xml, "devices", offered::kMicrovmDevices);
  write_elements(xml, "features", offered::kFeatures);
  xml.end();
  return xml.str();
}

}  // namespace lodge
