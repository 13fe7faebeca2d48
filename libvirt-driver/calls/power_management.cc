// Guests that sleep.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr std::chrono::seconds kRefusalPatience{5};  // an agent that cannot suspend says so at once

Answer<void> domain_pm_suspend_for_duration(Call& call, const DomainPmSuspendForDurationArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainPMSuspendForDuration"));
  if (args.duration != 0) {
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "Duration not supported. Use 0 for now");
  }
  if (args.target > VIR_NODE_SUSPEND_TARGET_HYBRID) {
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "Unknown suspend target: {}", args.target);
  }
  const DomainView view = TRY(find(call, args.dom))->view();
  TRY(Driver::running(view));
  // The machines have no sleep state in which memory stays, so the guest could not come back.
  if (args.target != VIR_NODE_SUSPEND_TARGET_DISK) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "S3 state is disabled for this domain");
  }
  if (view.live->suspend_to_disk == YesNo::no) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "S4 state is disabled for this domain");
  }
  return agent_farewell(view, {{"execute", "guest-suspend-disk"}}, kRefusalPatience);
}

Answer<void> domain_pm_wakeup(Call& call, const DomainPmWakeupArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainPMWakeup"));
  TRY(Driver::running(TRY(find(call, args.dom))->view()));
  return call_error(VIR_ERR_OPERATION_INVALID, "Unable to wake up: guest is not in suspended state");
}

constexpr std::array kCalls{
    bind<Proc::domain_pm_suspend_for_duration, domain_pm_suspend_for_duration>(),
    bind<Proc::domain_pm_wakeup, domain_pm_wakeup>(),
};

}  // namespace

Bindings power_management_calls() { return kCalls; }

}  // namespace lodge
