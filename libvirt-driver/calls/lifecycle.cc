// The life of guests: start, pause, reset, switch off.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"
#include "libvirt-driver/domains/machine_json.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kStartFlags = VIR_DOMAIN_START_PAUSED | VIR_DOMAIN_START_AUTODESTROY | VIR_DOMAIN_START_BYPASS_CACHE |
                                 VIR_DOMAIN_START_FORCE_BOOT | VIR_DOMAIN_START_VALIDATE | VIR_DOMAIN_START_RESET_NVRAM;

Answer<void> domain_create(Call& call, const DomainCreateArgs& args) {
  return call.driver.start(TRY(find(call, args.dom)), 0, call.session);
}

Answer<DomainCreateWithFlagsRet> domain_create_with_flags(Call& call, const DomainCreateWithFlagsArgs& args) {
  TRY_VOID(check_flags(args.flags, kStartFlags, "virDomainCreateWithFlags"));
  const DomainPtr domain = TRY(find(call, args.dom));
  TRY_VOID(call.driver.start(domain, args.flags, call.session));
  return DomainCreateWithFlagsRet{.dom = domain->view().rpc_name()};
}

Answer<DomainCreateXmlRet> domain_create_xml(Call& call, const DomainCreateXmlArgs& args) {
  TRY_VOID(check_flags(args.flags, kStartFlags, "virDomainCreateXML"));
  return DomainCreateXmlRet{.dom = TRY(call.driver.create(args.xml_desc, args.flags, call.session))->view().rpc_name()};
}

Answer<void> domain_destroy(Call& call, const DomainDestroyArgs& args) {
  return call.driver.destroy(TRY(find(call, args.dom)), false);
}

Answer<void> domain_destroy_flags(Call& call, const DomainDestroyFlagsArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_DESTROY_GRACEFUL, "virDomainDestroyFlags"));
  return call.driver.destroy(TRY(find(call, args.dom)), (args.flags & VIR_DOMAIN_DESTROY_GRACEFUL) != 0);
}

// Asks the guest by the ways that the flags name, the agent first; without flags by the agent if it is there, else the
// button.
Answer<void> power(Call& call, const DomainName& name, uint32_t flags, bool reboot) {
  constexpr uint32_t kButton = VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN;
  constexpr uint32_t kAgent = VIR_DOMAIN_SHUTDOWN_GUEST_AGENT;
  static_assert(kButton == static_cast<uint32_t>(VIR_DOMAIN_REBOOT_ACPI_POWER_BTN) &&
                kAgent == static_cast<uint32_t>(VIR_DOMAIN_REBOOT_GUEST_AGENT));
  TRY_VOID(check_flags(flags, kButton | kAgent, reboot ? "virDomainReboot" : "virDomainShutdownFlags"));
  const DomainPtr domain = TRY(find(call, name));
  const DomainView view = domain->view();
  const auto run = TRY(Driver::running(view));
  if ((flags & kAgent) != 0 || (flags == 0 && has_agent(view))) {
    const auto asked = agent_shutdown(view, reboot ? "reboot" : "powerdown");
    if (asked || flags == kAgent) {
      return asked;
    }
  }
  const LifecycleAction on_reboot = view.live->on_reboot;
  if (reboot && on_reboot != LifecycleAction::destroy && on_reboot != LifecycleAction::preserve) {
    // The button switches off: a guest that obeys it is reset then.
    TRY(run->monitor->execute("system_powerdown", {{"reboot", true}}));
    return {};
  }
  return call.driver.shutdown(domain);
}

Answer<void> domain_shutdown(Call& call, const DomainShutdownArgs& args) { return power(call, args.dom, 0, false); }
Answer<void> domain_shutdown_flags(Call& call, const DomainShutdownFlagsArgs& args) {
  return power(call, args.dom, args.flags, false);
}
Answer<void> domain_reboot(Call& call, const DomainRebootArgs& args) { return power(call, args.dom, args.flags, true); }

Answer<void> domain_suspend(Call& call, const DomainSuspendArgs& args) {
  return call.driver.suspend(TRY(find(call, args.dom)));
}
Answer<void> domain_resume(Call& call, const DomainResumeArgs& args) {
  return call.driver.resume(TRY(find(call, args.dom)));
}
Answer<void> domain_reset(Call& call, const DomainResetArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainReset"));
  return call.driver.reset(TRY(find(call, args.dom)));
}

Answer<void> domain_inject_nmi(Call& call, const DomainInjectNmiArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainInjectNMI"));
  const auto run = TRY(Driver::running(TRY(find(call, args.dom))->view()));
  TRY(run->monitor->execute("inject-nmi"));
  return {};
}

Answer<DomainGetAutostartRet> domain_get_autostart(Call& call, const DomainGetAutostartArgs& args) {
  return DomainGetAutostartRet{.autostart = TRY(find(call, args.dom))->view().autostart ? 1 : 0};
}

Answer<void> domain_set_autostart(Call& call, const DomainSetAutostartArgs& args) {
  return call.driver.set_autostart(TRY(find(call, args.dom)), args.autostart != 0);
}

// In the order of VIR_DOMAIN_LIFECYCLE_ACTION_*.
constexpr std::array kActions{LifecycleAction::destroy, LifecycleAction::restart, LifecycleAction::rename_restart,
                              LifecycleAction::preserve};
constexpr std::array kCrashActions{CrashAction::destroy,  CrashAction::restart,          CrashAction::rename_restart,
                                   CrashAction::preserve, CrashAction::coredump_destroy, CrashAction::coredump_restart};

Answer<void> domain_set_lifecycle_action(Call& call, const DomainSetLifecycleActionArgs& args) {
  const DomainPtr domain = TRY(find(call, args.dom));
  if (args.action >= VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_DESTROY && args.type != VIR_DOMAIN_LIFECYCLE_CRASH) {
    return call_error(VIR_ERR_INVALID_ARG, "the action is for crashes only");
  }
  if (args.action > VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_RESTART || args.type > VIR_DOMAIN_LIFECYCLE_CRASH) {
    return call_error(VIR_ERR_INVALID_ARG, "unknown lifecycle type {} or action {}", args.type, args.action);
  }
  const auto job = TRY(domain->begin_job("set-lifecycle-action"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(args.flags, view));
  const auto set = [&args](DomainConfig& config) {
    switch (args.type) {
      case VIR_DOMAIN_LIFECYCLE_POWEROFF: config.on_poweroff = kActions[args.action]; break;
      case VIR_DOMAIN_LIFECYCLE_REBOOT: config.on_reboot = kActions[args.action]; break;
      default: config.on_crash = kCrashActions[args.action]; break;
    }
  };
  if (which.live) {
    DomainConfig live = *view.live;
    set(live);
    TRY((TRY(Driver::running(view)))->monitor->execute("set-action", ending_json(live)));
    call.driver.replace_live(domain, std::move(live));
  }
  if (which.config) {
    DomainConfig config = *view.persistent;
    set(config);
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

constexpr std::array kCalls{
    bind<Proc::domain_create, domain_create>(),
    bind<Proc::domain_create_with_flags, domain_create_with_flags>(),
    bind<Proc::domain_create_xml, domain_create_xml>(),
    bind<Proc::domain_destroy, domain_destroy>(),
    bind<Proc::domain_destroy_flags, domain_destroy_flags>(),
    bind<Proc::domain_shutdown, domain_shutdown>(),
    bind<Proc::domain_shutdown_flags, domain_shutdown_flags>(),
    bind<Proc::domain_reboot, domain_reboot>(),
    bind<Proc::domain_suspend, domain_suspend>(),
    bind<Proc::domain_resume, domain_resume>(),
    bind<Proc::domain_reset, domain_reset>(),
    bind<Proc::domain_inject_nmi, domain_inject_nmi>(),
    bind<Proc::domain_get_autostart, domain_get_autostart>(),
    bind<Proc::domain_set_autostart, domain_set_autostart>(),
    bind<Proc::domain_set_lifecycle_action, domain_set_lifecycle_action>(),
};

}  // namespace

Bindings lifecycle_calls() { return kCalls; }

}  // namespace lodge
