// Raw commands to a guest's monitor and to its agent (virsh qemu-monitor-command, qemu-agent-command).
#include <libvirt/libvirt-qemu.h>

#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

Answer<DomainMonitorCommandRet> domain_monitor_command(Call& call, const DomainMonitorCommandArgs& args) {
  if ((args.flags & VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) != 0) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED,
                      "the monitor speaks JSON only; see {{\"execute\": \"query-commands\"}}");
  }
  const auto run = TRY(Driver::running(TRY(find(call, args.dom))->view()));
  return DomainMonitorCommandRet{.result = TRY(run->monitor->raw(args.cmd))};
}

Answer<DomainAgentCommandRet> domain_agent_command(Call& call, const DomainAgentCommandArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  const Json command = parse_json(args.cmd);
  if (!command.is_object()) {
    return call_error(VIR_ERR_INVALID_ARG, "the command is no JSON object like {{\"execute\": \"guest-ping\"}}");
  }
  const Json answer = TRY(agent_command(view, command, args.timeout));
  return DomainAgentCommandRet{.result = Json{{"return", answer}}.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

constexpr std::array kCalls{
    bind<QemuProc::domain_monitor_command, domain_monitor_command>(),
    bind<QemuProc::domain_agent_command, domain_agent_command>(),
};

}  // namespace

Bindings monitor_calls() { return kCalls; }

}  // namespace lodge
