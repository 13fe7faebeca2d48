// Registering for events, with callback ids and in the legacy ways.
#include <array>

#include "libvirt-driver/calls/calls.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr size_t kMaxEventName = 256;  // also bounds the work of a pattern

Answer<ConnectDomainEventCallbackRegisterAnyRet> connect_domain_event_callback_register_any(
    Call& call, const ConnectDomainEventCallbackRegisterAnyArgs& args) {
  std::optional<Uuid> domain;
  if (args.dom) {
    domain = TRY(find(call, *args.dom))->view().uuid;
  }
  return ConnectDomainEventCallbackRegisterAnyRet{
      .callback_id = TRY(call.driver.events().add(call.session, args.event_id, domain, false))};
}

Answer<void> connect_domain_event_callback_deregister_any(Call& call,
                                                          const ConnectDomainEventCallbackDeregisterAnyArgs& args) {
  return call.driver.events().remove(*call.session, args.callback_id);
}

Answer<ConnectDomainEventRegisterRet> connect_domain_event_register(Call& call, const ConnectDomainEventRegisterArgs&) {
  EventHub& events = call.driver.events();
  TRY(events.add(call.session, VIR_DOMAIN_EVENT_ID_LIFECYCLE, std::nullopt, true));
  return ConnectDomainEventRegisterRet{.cb_registered = events.legacy_count(*call.session, VIR_DOMAIN_EVENT_ID_LIFECYCLE)};
}

Answer<ConnectDomainEventDeregisterRet> connect_domain_event_deregister(Call& call,
                                                                        const ConnectDomainEventDeregisterArgs&) {
  EventHub& events = call.driver.events();
  TRY_VOID(events.remove_legacy(*call.session, VIR_DOMAIN_EVENT_ID_LIFECYCLE));
  return ConnectDomainEventDeregisterRet{.cb_registered = events.legacy_count(*call.session, VIR_DOMAIN_EVENT_ID_LIFECYCLE)};
}

Answer<void> connect_domain_event_register_any(Call& call, const ConnectDomainEventRegisterAnyArgs& args) {
  TRY(call.driver.events().add(call.session, args.event_id, std::nullopt, true));
  return {};
}

Answer<void> connect_domain_event_deregister_any(Call& call, const ConnectDomainEventDeregisterAnyArgs& args) {
  return call.driver.events().remove_legacy(*call.session, args.event_id);
}

Answer<ConnectDomainMonitorEventRegisterRet> connect_domain_monitor_event_register(
    Call& call, const ConnectDomainMonitorEventRegisterArgs& args) {
  std::optional<Uuid> domain;
  if (args.dom) {
    domain = TRY(find(call, *args.dom))->view().uuid;
  }
  if (args.event && args.event->size() > kMaxEventName) {
    return call_error(VIR_ERR_INVALID_ARG, "the event's name has {} bytes, {} are possible", args.event->size(),
                      kMaxEventName);
  }
  return ConnectDomainMonitorEventRegisterRet{
      .callback_id = call.driver.events().add_monitor(call.session, domain, args.event, args.flags)};
}

Answer<void> connect_domain_monitor_event_deregister(Call& call, const ConnectDomainMonitorEventDeregisterArgs& args) {
  return call.driver.events().remove(*call.session, args.callback_id);
}

constexpr std::array kCalls{
    bind<Proc::connect_domain_event_callback_register_any, connect_domain_event_callback_register_any>(),
    bind<Proc::connect_domain_event_callback_deregister_any, connect_domain_event_callback_deregister_any>(),
    bind<Proc::connect_domain_event_register, connect_domain_event_register>(),
    bind<Proc::connect_domain_event_deregister, connect_domain_event_deregister>(),
    bind<Proc::connect_domain_event_register_any, connect_domain_event_register_any>(),
    bind<Proc::connect_domain_event_deregister_any, connect_domain_event_deregister_any>(),
    bind<QemuProc::connect_domain_monitor_event_register, connect_domain_monitor_event_register>(),
    bind<QemuProc::connect_domain_monitor_event_deregister, connect_domain_monitor_event_deregister>(),
};

}  // namespace

Bindings event_calls() { return kCalls; }

}  // namespace lodge
