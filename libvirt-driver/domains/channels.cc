// Channels that the guest opens and closes; its agent's is told of.
#include <libvirt/libvirt.h>

#include "libvirt-driver/domains/agent.h"
#include "libvirt-driver/domains/driver.h"

namespace lodge {

void Driver::channel_changed(const DomainPtr& domain, const std::string& channel, bool open) {
  const ChannelState state = open ? ChannelState::connected : ChannelState::disconnected;
  bool changed = false;
  bool agent = false;
  std::shared_ptr<Run> run;
  const rpc::DomainName who = domain->change([&](DomainView& view) {
    if (view.live) {
      run = view.run;
      auto live = std::make_shared<DomainConfig>(*view.live);
      for (DomainChannel& one : live->devices.channels) {
        if ((channel.empty() || one.name == channel) && !one.name.empty() && one.state != state) {
          agent = agent || (one.name == kAgentChannel && (open || one.state == ChannelState::connected));
          one.state = state;
          changed = true;
        }
      }
      view.live = std::move(live);
    }
    return view.rpc_name();
  });
  if (changed) {
    write_status(domain);
  }
  if (run && !open && (channel.empty() || channel == kAgentChannel)) {
    run->agent.guest_left();
  }
  if (agent) {
    events_.emit(VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                 rpc::DomainEventCallbackAgentLifecycleMsg{
                     .callback_id = 0,
                     .dom = who,
                     .state = open ? VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
                                   : VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED,
                     .reason = VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL});
  }
}

}  // namespace lodge
