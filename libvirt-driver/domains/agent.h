// The guest agent (qemu-ga) over its named channel, org.qemu.guest_agent.0. Waits, so for workers.
#pragma once

#include "libvirt-driver/domains/domain.h"

namespace lodge {

inline constexpr std::string_view kAgentChannel = "org.qemu.guest_agent.0";

// Whether the guest has the channel.
[[nodiscard]] bool has_agent(const DomainView& view);

// Sends a command and gives its "return". `timeout`: s, or VIR_DOMAIN_QEMU_AGENT_COMMAND_* (block, default: 5 s, nowait).
// Errors: ARGUMENT_UNSUPPORTED without a channel, AGENT_UNRESPONSIVE, INTERNAL_ERROR with what the agent says.
[[nodiscard]] Answer<Json> agent_command(const DomainView& view, const Json& command, int timeout);
// "powerdown", "reboot", "halt": the agent ends without an answer.
[[nodiscard]] Answer<void> agent_shutdown(const DomainView& view, const std::string& mode);

}  // namespace lodge
