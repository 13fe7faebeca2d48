// Network interfaces: counters and addresses.
#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"
#include "libvirt-driver/domains/device_counters.h"
#include "libvirt-driver/domains/guest_addresses.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr size_t kMostAddresses = 2048;  // the protocol's limits

Answer<DomainInterfaceStatsRet> domain_interface_stats(Call& call, const DomainInterfaceStatsArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  const auto run = TRY(Driver::running(view));
  const auto& interfaces = view.live->devices.interfaces;
  const auto it = std::ranges::find_if(interfaces, [&](const lodge::DomainInterface& interface) {
    return interface.target == args.device || to_xml(interface.mac) == args.device || interface.alias == args.device;
  });
  if (it == interfaces.end()) {
    return call_error(VIR_ERR_INVALID_ARG, "'{}' is not a known interface", args.device);
  }
  const Json stats = TRY(run->monitor->execute("query-stats"));
  const InterfaceCounters counters = interface_counters(stats, it->alias);
  return DomainInterfaceStatsRet{.rx_bytes = counters.rx_bytes,
                                 .rx_packets = counters.rx_packets,
                                 .rx_errs = counters.rx_errors,
                                 .rx_drop = counters.rx_dropped,
                                 .tx_bytes = counters.tx_bytes,
                                 .tx_packets = counters.tx_packets,
                                 .tx_errs = counters.tx_errors,
                                 .tx_drop = counters.tx_dropped};
}

// As the agent tells them.
Answer<DomainInterfaceAddressesRet> agent_addresses(const DomainView& view) {
  const Json answer = TRY(
      agent_command(view, {{"execute", "guest-network-get-interfaces"}}, view.run ? view.run->agent_timeout.load() : -1));
  DomainInterfaceAddressesRet reply;
  for (const Json& entry : objects_in(answer)) {
    rpc::DomainInterface interface;
    interface.name = text_in(entry, "name");
    if (const std::string mac = text_in(entry, "hardware-address"); !mac.empty()) {
      interface.hwaddr = mac;
    }
    for (const Json& address : objects_in(entry, "ip-addresses")) {
      if (interface.addrs.size() < kMostAddresses) {
        interface.addrs.push_back({.type = text_in(address, "ip-address-type") == "ipv6" ? 1 : 0,
                                   .addr = text_in(address, "ip-address"),
                                   .prefix = static_cast<uint32_t>(integer_in<int64_t>(address, "prefix"))});
      }
    }
    if (reply.ifaces.size() < kMostAddresses) {
      reply.ifaces.push_back(std::move(interface));
    }
  }
  return reply;
}

// Those of `known` that belong to one of the guest's interfaces.
DomainInterfaceAddressesRet matched_addresses(const DomainView& view, const std::vector<GuestAddress>& known) {
  DomainInterfaceAddressesRet reply;
  for (const lodge::DomainInterface& interface : view.live->devices.interfaces) {
    rpc::DomainInterface found;
    found.name = interface.target;
    found.hwaddr = to_xml(interface.mac);
    for (const GuestAddress& address : known) {
      if (address.mac == *found.hwaddr && found.addrs.size() < kMostAddresses) {
        found.addrs.push_back({.type = address.v6 ? 1 : 0, .addr = address.ip, .prefix = address.prefix});
      }
    }
    if (!found.addrs.empty()) {
      reply.ifaces.push_back(std::move(found));
    }
  }
  return reply;
}

Answer<DomainInterfaceAddressesRet> domain_interface_addresses(Call& call, const DomainInterfaceAddressesArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainInterfaceAddresses"));
  const DomainView view = TRY(find(call, args.dom))->view();
  TRY(Driver::running(view));
  switch (args.source) {
    case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE: return matched_addresses(view, leases(kLeaseFolder));
    case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT: return agent_addresses(view);
    case VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP: return matched_addresses(view, TRY(neighbours()));
    default: return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "Unknown IP address data source {}", args.source);
  }
}

constexpr std::array kCalls{
    bind<Proc::domain_interface_addresses, domain_interface_addresses>(),
    bind<Proc::domain_interface_stats, domain_interface_stats>(),
};

}  // namespace

Bindings interface_calls() { return kCalls; }

}  // namespace lodge
