// DomainInterface: a network interface of a domain as its XML tells it. A plain value.
#pragma once

#include <array>

#include "libvirt-driver/xml/device_types.h"

namespace lodge {

enum class InterfaceType : uint8_t { user, ethernet, network, bridge, direct };
LODGE_XML_WORDS(InterfaceType, "vhostuser server client mcast udp internal hostdev vdpa null vds", "user", "ethernet",
                "network", "bridge", "direct");
enum class DirectMode : uint8_t { absent, vepa, priv, bridge, passthrough };
LODGE_XML_WORDS(DirectMode, "", "", "vepa", "private", "bridge", "passthrough");
enum class LinkState : uint8_t { absent, up, down };
LODGE_XML_WORDS(LinkState, "", "", "up", "down");
enum class NetDriver : uint8_t { absent, vhost, qemu };
LODGE_XML_WORDS(NetDriver, "vfio kvm xen", "", "vhost", "qemu");
enum class NetTxMode : uint8_t { absent, iothread, timer };
LODGE_XML_WORDS(NetTxMode, "", "", "iothread", "timer");
enum class NetBackendType : uint8_t { absent, standard, passt };
LODGE_XML_WORDS(NetBackendType, "", "", "default", "passt");
enum class MacType : uint8_t { absent, generated, fixed };
LODGE_XML_WORDS(MacType, "", "", "generated", "static");
enum class NativeVlan : uint8_t { absent, tagged, untagged };
LODGE_XML_WORDS(NativeVlan, "", "", "tagged", "untagged");
enum class IpFamily : uint8_t { absent, ipv4, ipv6 };
LODGE_XML_WORDS(IpFamily, "", "", "ipv4", "ipv6");

struct MacAddress {
  std::array<uint8_t, 6> bytes{};  // all zero: none
  friend bool operator==(const MacAddress&, const MacAddress&) = default;
};
// "52:54:00:12:34:56"; "" is printed for none. Only unicast addresses are read.
[[nodiscard]] bool from_xml(std::string_view text, MacAddress& mac);
[[nodiscard]] std::string to_xml(const MacAddress& mac);
constexpr std::string_view xml_kind(const MacAddress&) { return "a unicast MAC address such as 52:54:00:12:34:56"; }

struct NameValue {
  std::string name;
  std::string value;
  friend bool operator==(const NameValue&, const NameValue&) = default;
};

struct InterfaceSource {
  std::string network;  // network; with portgroup, and live: portid and bridge
  std::string portgroup;
  Uuid portid{};
  std::string bridge;  // bridge
  std::string dev;     // direct
  DirectMode mode = DirectMode::absent;
  friend bool operator==(const InterfaceSource&, const InterfaceSource&) = default;
};

struct VlanTag {
  uint16_t id = 0;
  NativeVlan native_mode = NativeVlan::absent;
  friend bool operator==(const VlanTag&, const VlanTag&) = default;
};
struct Vlan {
  YesNo trunk = YesNo::absent;
  std::vector<VlanTag> tags;
  friend bool operator==(const Vlan&, const Vlan&) = default;
};

struct VirtualPort {
  std::string type;                   // "openvswitch", "802.1Qbg", ...
  std::vector<NameValue> parameters;  // in libvirt's order
  friend bool operator==(const VirtualPort&, const VirtualPort&) = default;
};

struct BandwidthRate {  // KiB in a second, KiB
  std::optional<uint64_t> average, peak, floor, burst;
  friend bool operator==(const BandwidthRate&, const BandwidthRate&) = default;
};

struct InterfaceIp {
  std::string address;
  IpFamily family = IpFamily::absent;
  std::optional<uint32_t> prefix;
  std::string peer;
  friend bool operator==(const InterfaceIp&, const InterfaceIp&) = default;
};
struct InterfaceRoute {
  IpFamily family = IpFamily::absent;
  std::string address;
  std::string netmask;
  std::optional<uint32_t> prefix;
  std::string gateway;
  std::optional<uint32_t> metric;
  friend bool operator==(const InterfaceRoute&, const InterfaceRoute&) = default;
};

// What a passt backend forwards to the guest.
struct PortRange {
  uint16_t start = 0;
  std::optional<uint16_t> end;
  std::optional<uint16_t> to;
  YesNo exclude = YesNo::absent;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};
struct PortForward {
  std::string proto;  // "tcp", "udp"
  std::string address;
  std::string dev;
  std::vector<PortRange> ranges;
  friend bool operator==(const PortForward&, const PortForward&) = default;
};

struct InterfaceDriver {
  NetDriver name = NetDriver::absent;
  NetTxMode txmode = NetTxMode::absent;
  OnOff ioeventfd = OnOff::absent;
  OnOff event_idx = OnOff::absent;
  std::optional<uint32_t> queues;
  std::optional<uint32_t> rx_queue_size;
  std::optional<uint32_t> tx_queue_size;
  VirtioOptions virtio;
  struct Offloads {
    OnOff csum = OnOff::absent, gso = OnOff::absent, tso4 = OnOff::absent, tso6 = OnOff::absent, ecn = OnOff::absent,
          ufo = OnOff::absent, mrg_rxbuf = OnOff::absent;
    friend bool operator==(const Offloads&, const Offloads&) = default;
  };
  Offloads host, guest;
  friend bool operator==(const InterfaceDriver&, const InterfaceDriver&) = default;
};

struct DomainInterface : DeviceInfo {
  InterfaceType type = InterfaceType::user;
  YesNo trust_guest_rx_filters = YesNo::absent;
  MacAddress mac;
  MacType mac_type = MacType::absent;
  YesNo mac_check = YesNo::absent;
  InterfaceSource source;
  Vlan vlan;
  VirtualPort virtual_port;
  BandwidthRate inbound, outbound;
  YesNo isolated = YesNo::absent;
  std::vector<InterfaceIp> ips;
  std::vector<InterfaceRoute> routes;
  std::vector<PortForward> port_forwards;
  std::string target;  // the tap: "vnet0"
  YesNo target_managed = YesNo::absent;
  std::string guest_dev;
  std::string model;  // "virtio", "e1000", ...
  InterfaceDriver driver;
  NetBackendType backend = NetBackendType::absent;
  std::string backend_log;
  std::string backend_tap;
  std::string backend_vhost;
  std::string filter;
  std::vector<NameValue> filter_parameters;
  std::optional<uint32_t> sndbuf;
  LinkState link = LinkState::absent;
  std::optional<uint32_t> mtu;
  YesNo rom_enabled = YesNo::absent;
  OnOff rom_bar = OnOff::absent;
  std::string rom_file;
  friend bool operator==(const DomainInterface&, const DomainInterface&) = default;
};

}  // namespace lodge
