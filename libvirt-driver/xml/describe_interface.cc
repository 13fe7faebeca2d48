#include <fmt/core.h>

#include "base/hex.h"
#include "libvirt-driver/xml/describe.h"

namespace lodge {
namespace {

void source(XmlFields& x, DomainInterface& interface) {
  InterfaceSource& source = interface.source;
  x.element("source", [&] {
    switch (interface.type) {
      case InterfaceType::network:
        x.attr("network", source.network);
        x.attr("portgroup", source.portgroup);
        x.attr("portid", source.portid);
        x.attr("bridge", source.bridge);
        break;
      case InterfaceType::bridge: x.attr("bridge", source.bridge); break;
      case InterfaceType::direct:
        x.attr("dev", source.dev);
        x.attr("mode", source.mode);
        break;
      case InterfaceType::user: x.attr("dev", source.dev); break;
      case InterfaceType::ethernet: break;
    }
  });
}

void vlan(XmlFields& x, Vlan& vlan) {
  constexpr uint16_t kIds = 4096;
  x.element("vlan", [&] {
    x.attr("trunk", vlan.trunk);
    x.list("tag", vlan.tags, [&](VlanTag& tag) {
      x.attr("id", tag.id);
      x.attr("nativeMode", tag.native_mode);
      if (tag.id >= kIds) {
        x.wrong("@id", fmt::format("'{}' is not below {}", tag.id, kIds));
      }
    });
  });
}

void virtual_port(XmlFields& x, VirtualPort& port) {
  x.element("virtualport", [&] {
    x.attr("type", port.type);
    x.element("parameters", [&] {
      if (!x.reading()) {
        for (NameValue& parameter : port.parameters) {
          x.attr(parameter.name, parameter.value);
        }
        return;
      }
      for (const char* name : {"managerid", "typeid", "typeidversion", "instanceid", "interfaceid", "profileid"}) {
        std::string value;
        x.attr(name, value);
        if (!value.empty()) {
          port.parameters.push_back({.name = name, .value = value});
        }
      }
    });
  });
}

void rate(XmlFields& x, const char* name, BandwidthRate& rate) {
  x.element(name, [&] {
    x.attr("average", rate.average);
    x.attr("peak", rate.peak);
    x.attr("floor", rate.floor);
    x.attr("burst", rate.burst);
  });
}

void addresses(XmlFields& x, DomainInterface& interface) {
  x.list("ip", interface.ips, [&](InterfaceIp& ip) {
    x.attr("address", ip.address);
    x.attr("family", ip.family);
    x.attr("prefix", ip.prefix);
    x.attr("peer", ip.peer);
  });
  x.list("route", interface.routes, [&](InterfaceRoute& route) {
    x.attr("family", route.family);
    x.attr("address", route.address);
    x.attr("netmask", route.netmask);
    x.attr("prefix", route.prefix);
    x.attr("gateway", route.gateway);
    x.attr("metric", route.metric);
  });
  x.list("portForward", interface.port_forwards, [&](PortForward& forward) {
    x.attr("proto", forward.proto);
    x.attr("address", forward.address);
    x.attr("dev", forward.dev);
    if (forward.proto != "tcp" && forward.proto != "udp") {
      x.wrong("@proto", fmt::format("'{}' is not one of tcp, udp", forward.proto));
    }
    x.list("range", forward.ranges, [&](PortRange& range) {
      x.attr("start", range.start);
      x.attr("end", range.end);
      x.attr("to", range.to);
      x.attr("exclude", range.exclude);
    });
  });
}

void offloads(XmlFields& x, const char* name, InterfaceDriver::Offloads& offloads, bool is_host) {
  x.element(name, [&] {
    x.attr("csum", offloads.csum);
    if (is_host) {
      x.attr("gso", offloads.gso);
    }
    x.attr("tso4", offloads.tso4);
    x.attr("tso6", offloads.tso6);
    x.attr("ecn", offloads.ecn);
    x.attr("ufo", offloads.ufo);
    if (is_host) {
      x.attr("mrg_rxbuf", offloads.mrg_rxbuf);
    }
  });
}

void driver(XmlFields& x, InterfaceDriver& driver) {
  x.element("driver", [&] {
    x.attr("name", driver.name);
    x.attr("txmode", driver.txmode);
    x.attr("ioeventfd", driver.ioeventfd);
    x.attr("event_idx", driver.event_idx);
    x.attr("queues", driver.queues);
    x.attr("rx_queue_size", driver.rx_queue_size);
    x.attr("tx_queue_size", driver.tx_queue_size);
    describe_virtio(x, driver.virtio);
    offloads(x, "host", driver.host, true);
    offloads(x, "guest", driver.guest, false);
  });
}

}  // namespace

bool from_xml(std::string_view text, MacAddress& mac) {
  MacAddress read;
  size_t at = 0;
  for (size_t i = 0; i < read.bytes.size(); ++i) {
    if (i != 0) {
      if (at >= text.size() || text[at] != ':') {
        return false;
      }
      ++at;
    }
    int value = 0;
    size_t digits = 0;
    for (; digits < 2 && at < text.size() && hex_digit(text[at]) >= 0; ++digits, ++at) {
      value = value * 16 + hex_digit(text[at]);
    }
    if (digits == 0) {
      return false;
    }
    read.bytes[i] = static_cast<uint8_t>(value);
  }
  mac = read;
  return at == text.size() && (read.bytes[0] & 1) == 0 && read != MacAddress{};
}

std::string to_xml(const MacAddress& mac) {
  const auto& b = mac.bytes;
  return mac == MacAddress{} ? std::string()
                             : fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5]);
}

void describe(XmlFields& x, DomainInterface& interface) {
  x.attr("type", interface.type);
  x.attr("trustGuestRxFilters", interface.trust_guest_rx_filters);
  x.element("mac", [&] {
    x.attr("address", interface.mac);
    x.attr("type", interface.mac_type);
    x.attr("check", interface.mac_check);
  });
  source(x, interface);
  vlan(x, interface.vlan);
  virtual_port(x, interface.virtual_port);
  x.element("bandwidth", [&] {
    rate(x, "inbound", interface.inbound);
    rate(x, "outbound", interface.outbound);
  });
  x.element("port", [&] { x.attr("isolated", interface.isolated); });
  addresses(x, interface);
  x.element("target", [&] {
    x.attr("dev", interface.target);
    x.attr("managed", interface.target_managed);
  });
  x.element("guest", [&] { x.attr("dev", interface.guest_dev); });
  x.element("model", [&] { x.attr("type", interface.model); });
  driver(x, interface.driver);
  x.element("backend", [&] {
    x.attr("type", interface.backend);
    x.attr("tap", interface.backend_tap);
    x.attr("vhost", interface.backend_vhost);
    x.attr("logFile", interface.backend_log);
  });
  x.element("filterref", [&] {
    x.attr("filter", interface.filter);
    x.list("parameter", interface.filter_parameters, [&](NameValue& parameter) {
      x.attr("name", parameter.name);
      x.attr("value", parameter.value);
    });
  });
  x.element("tune", [&] { x.child("sndbuf", interface.sndbuf); });
  x.element("link", [&] { x.attr("state", interface.link); });
  x.element("mtu", [&] { x.attr("size", interface.mtu); });
  describe_boot(x, interface);
  describe_alias(x, interface);
  x.element("rom", [&] {
    x.attr("enabled", interface.rom_enabled);
    x.attr("bar", interface.rom_bar);
    x.attr("file", interface.rom_file);
  });
  describe_address(x, interface);
}

}  // namespace lodge
