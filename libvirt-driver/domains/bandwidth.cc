#include "libvirt-driver/domains/bandwidth.h"

#include <libvirt/virterror.h>

#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/domains/process.h"

namespace lodge {
namespace {

constexpr const char* kTc = "/usr/sbin/tc";
constexpr uint64_t kLeastQuantum = 1500;  // bytes, an Ethernet frame; the kernel complains outside of these
constexpr uint64_t kMostQuantum = 200'000;

bool is_set(const BandwidthRate& rate) { return rate.average.value_or(0) != 0; }

}  // namespace

// What goes into the guest comes out of the tap, where it can wait in a queue; what the guest sends can only be dropped.
std::string bandwidth_script(const std::string& tap, const BandwidthRate& inbound, const BandwidthRate& outbound) {
  std::string script;
  if (is_set(inbound)) {
    const uint64_t average = *inbound.average;
    const uint64_t quantum = std::clamp(average * 1000 / 10, kLeastQuantum, kMostQuantum);
    const std::string burst = inbound.burst ? fmt::format(" burst {}kb", *inbound.burst) : "";
    script += fmt::format(
        "qdisc add dev {0} root handle 1: htb default 1\n"
        "class add dev {0} parent 1: classid 1:1 htb rate {1}kbps ceil {2}kbps{3} quantum {4}\n"
        "qdisc add dev {0} parent 1:1 handle 2: sfq perturb 10\n",
        tap, average, inbound.peak.value_or(average), burst, quantum);
  }
  if (is_set(outbound)) {
    script += fmt::format(
        "qdisc add dev {0} ingress\n"
        "filter add dev {0} parent ffff: protocol all u32 match u32 0 0 police rate {1}kbps burst {2}kb mtu 64kb drop "
        "flowid :1\n",
        tap, *outbound.average, outbound.burst.value_or(*outbound.average));
  }
  return script;
}

Answer<void> apply_bandwidth(const DomainInterface& interface) {
  const std::string who = fmt::format("interface {}", to_xml(interface.mac));
  const bool wanted = is_set(interface.inbound) || is_set(interface.outbound);
  if (interface.inbound.floor.value_or(0) != 0 && interface.type != InterfaceType::network) {  // there it is the bridge's
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "{}: bandwidth 'floor' needs an interface of type 'network'", who);
  }
  if (!wants_tap(interface) || interface.target.empty()) {
    return wanted ? Answer<void>(call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                                            "{}: bandwidth needs a tap; an interface of type '{}' has none", who,
                                            xml_word(interface.type)))
                  : Answer<void>();
  }
  // Not there: nothing to take away. One after another: the first that is not there ends a script.
  (void)run_script(kTc, fmt::format("qdisc del dev {} root\n", interface.target));
  (void)run_script(kTc, fmt::format("qdisc del dev {} ingress\n", interface.target));
  if (!wanted) {
    return {};
  }
  if (const auto set = run_script(kTc, bandwidth_script(interface.target, interface.inbound, interface.outbound)); !set) {
    return call_error(VIR_ERR_OPERATION_FAILED, "{}: its bandwidth cannot be set: {}", who, set.error().message);
  }
  return {};
}

}  // namespace lodge
