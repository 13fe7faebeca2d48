#include "libvirt-driver/host/cpu_xml.h"

#include <algorithm>
#include <array>
#include <set>
#include <span>

#include <fmt/format.h>

#include "libvirt-driver/host/files.h"
#include "libvirt-driver/xml/xml_reader.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

constexpr std::array<std::string_view, 5> kPolicies{"force", "require", "optional", "disable", "forbid"};
constexpr std::array<std::string_view, 4> kModes{"custom", "host-model", "host-passthrough", "maximum"};
constexpr std::array<std::string_view, 3> kMatches{"minimum", "exact", "strict"};
constexpr std::array<std::string_view, 2> kFallbacks{"allow", "forbid"};

// The attribute, which must be one of `values` when it is there.
Answer<std::string> one_of(const XmlNode& element, std::string_view attribute, std::span<const std::string_view> values,
                           std::string_view what) {
  const auto given = element.attribute(attribute);
  std::string value = given.value_or("");
  if (given && std::find(values.begin(), values.end(), value) == values.end()) {
    return call_error(VIR_ERR_XML_ERROR, "{}:{}: Invalid value for attribute '{}' in element '{}': '{}'; possible: {}", what,
                      element.line(), attribute, element.name(), value, fmt::join(values, ", "));
  }
  return value;
}

Answer<CpuFeatureWish> read_feature(const XmlNode& element, bool host, std::string_view what) {
  CpuFeatureWish out;
  out.name = element.attribute("name").value_or("");
  if (out.name.empty()) {
    return call_error(VIR_ERR_XML_ERROR, "{}:{}: Invalid CPU feature name: a feature has none", what, element.line());
  }
  if (!host) {
    const std::string policy = TRY(one_of(element, "policy", kPolicies, what));
    const auto found = std::find(kPolicies.begin(), kPolicies.end(), policy.empty() ? "require" : policy);
    out.policy = static_cast<CpuWishPolicy>(found - kPolicies.begin());
  }
  return out;
}

}  // namespace

std::string_view policy_name(CpuWishPolicy policy) { return kPolicies.at(static_cast<size_t>(policy)); }

Answer<CpuDescription> parse_cpu(std::string_view xml, std::string_view what) {
  const XmlDocument document = TRY(XmlDocument::parse(xml, what));
  const XmlNode root = document.root();
  if (root.name() != "cpu") {
    return call_error(VIR_ERR_XML_ERROR, "{}: the root is <{}>, it must be <cpu>", what, root.name());
  }
  CpuDescription out;
  // A guest's element says how it is meant, a host's names its architecture.
  out.host = root.child("arch") && !root.attribute("mode") && !root.attribute("match");
  out.mode = TRY(one_of(root, "mode", kModes, what));
  out.match = TRY(one_of(root, "match", kMatches, what));
  std::set<std::string> seen;
  for (const XmlNode& child : root.children()) {
    if (child.name() == "arch") {
      out.arch = host::trimmed(child.text());
    } else if (child.name() == "model") {
      out.model = host::trimmed(child.text());
      out.fallback = TRY(one_of(child, "fallback", kFallbacks, what));
    } else if (child.name() == "vendor") {
      out.vendor = host::trimmed(child.text());
    } else if (child.name() == "feature") {
      CpuFeatureWish feature = TRY(read_feature(child, out.host, what));
      if (!seen.insert(feature.name).second) {
        return call_error(VIR_ERR_XML_ERROR, "{}:{}: CPU feature '{}' specified more than once", what, child.line(),
                          feature.name);
      }
      out.features.push_back(std::move(feature));
    }
  }
  return out;
}

std::string print_cpu(const CpuDescription& cpu) {
  XmlWriter xml;
  xml.begin("cpu", {{"mode", cpu.mode}, {"match", cpu.match}});
  if (!cpu.model.empty()) {
    xml.element("model", cpu.model, {{"fallback", cpu.fallback}});
  }
  if (!cpu.vendor.empty()) {
    xml.element("vendor", cpu.vendor);
  }
  for (const CpuFeatureWish& feature : cpu.features) {
    xml.empty("feature", {{"policy", policy_name(feature.policy)}, {"name", feature.name}});
  }
  xml.end();
  return xml.str();
}

}  // namespace lodge
