#include "libvirt-driver/domains/network_port_xml.h"

#include <libvirt/virterror.h>

#include "libvirt-driver/xml/xml_reader.h"
#include "libvirt-driver/xml/xml_values.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

constexpr std::array<std::pair<std::string_view, std::optional<uint64_t> BandwidthRate::*>, 4> kRates{
    {{"average", &BandwidthRate::average},
     {"peak", &BandwidthRate::peak},
     {"burst", &BandwidthRate::burst},
     {"floor", &BandwidthRate::floor}}};

void print_rate(XmlWriter& out, std::string_view name, const BandwidthRate& rate) {
  if (rate == BandwidthRate{}) {
    return;
  }
  out.begin(name);
  for (const auto& [attribute, member] : kRates) {
    if (rate.*member) {
      out.attribute(attribute, fmt::format("{}", *(rate.*member)));
    }
  }
  out.end();
}

Answer<BandwidthRate> read_rate(const XmlNode& node) {
  BandwidthRate rate;
  for (const auto& [attribute, member] : kRates) {
    const auto text = node.attribute(attribute);
    if (text && parse_value(*text, rate.*member) != ValueCheck::good) {
      return call_error(VIR_ERR_XML_ERROR, "{}/@{}: '{}' is no number", node.path(), attribute, *text);
    }
  }
  return rate;
}

}  // namespace

std::string network_port_xml(const std::string& guest, const Uuid& guest_uuid, const DomainInterface& interface) {
  XmlWriter out;
  out.begin("networkport");
  out.element("uuid", print_uuid(interface.source.portid));
  out.begin("owner");
  out.element("name", guest);
  out.element("uuid", print_uuid(guest_uuid));
  out.end();
  if (!interface.source.portgroup.empty()) {
    out.element("group", interface.source.portgroup);
  }
  out.empty("mac", {{"address", to_xml(interface.mac)}});
  out.begin("bandwidth");
  print_rate(out, "inbound", interface.inbound);
  print_rate(out, "outbound", interface.outbound);
  out.end(XmlWriter::Empty::drop);
  if (interface.isolated != YesNo::absent) {
    out.empty("port", {{"isolated", xml_word(interface.isolated)}});
  }
  if (interface.trust_guest_rx_filters != YesNo::absent) {
    out.empty("rxfilters", {{"trustGuest", xml_word(interface.trust_guest_rx_filters)}});
  }
  out.end();
  return out.str();
}

Answer<void> take_network_port(std::string_view xml, DomainInterface& interface) {
  const XmlDocument document = TRY(XmlDocument::parse(xml, "(network_port)", "networkport"));
  const XmlNode root = document.root();
  const auto refuse = [&](std::string_view what) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "interface {}: network '{}' gives {}; this version of Lodge takes taps on Linux bridges",
                      to_xml(interface.mac), interface.source.network, what);
  };
  const auto plug = root.child("plug");
  const std::string type = plug ? plug->attribute("type").value_or("") : "";
  const std::string bridge = plug ? plug->attribute("bridge").value_or("") : "";
  if ((type != "network" && type != "bridge") || bridge.empty()) {
    return refuse(type.empty() ? std::string("no plug") : fmt::format("a plug of type '{}'", type));
  }
  constexpr size_t kMostName = 15;  // IFNAMSIZ
  if (bridge.size() > kMostName || bridge.find('/') != std::string::npos || bridge.starts_with('.')) {
    return refuse(fmt::format("'{}', which is no name of a bridge", bridge.substr(0, 100)));
  }
  if (const auto port = root.child("virtualport")) {
    return refuse(fmt::format("a virtual port of type '{}'", port->attribute("type").value_or("")));
  }
  if (root.child("vlan")) {
    return refuse("VLAN tags");
  }
  if (const auto bandwidth = root.child("bandwidth")) {
    if (const auto inbound = bandwidth->child("inbound")) {
      interface.inbound = TRY(read_rate(*inbound));
    }
    if (const auto outbound = bandwidth->child("outbound")) {
      interface.outbound = TRY(read_rate(*outbound));
    }
  }
  if (const auto port = root.child("port"); port && port->attribute("isolated") == "yes") {
    interface.isolated = YesNo::yes;
  }
  interface.source.bridge = bridge;
  return {};
}

}  // namespace lodge
