// Network interfaces: counters.
#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/device_counters.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

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

constexpr std::array kCalls{
    bind<Proc::domain_interface_stats, domain_interface_stats>(),
};

}  // namespace

Bindings interface_calls() { return kCalls; }

}  // namespace lodge
