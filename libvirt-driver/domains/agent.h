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
// Sends a command that the agent answers only when it fails; such an answer is waited for so long.
[[nodiscard]] Answer<void> agent_farewell(const DomainView& view, const Json& command, std::chrono::milliseconds patience);
// "powerdown", "reboot", "halt": the agent ends without an answer.
[[nodiscard]] Answer<void> agent_shutdown(const DomainView& view, const std::string& mode);

// The guest's own switches of its vCPUs (agent_vcpus.cc).
struct GuestVcpu {
  uint32_t id = 0;
  bool online = false;
  bool can_offline = false;
};
[[nodiscard]] Answer<std::vector<GuestVcpu>> guest_vcpus(const DomainView& view);
[[nodiscard]] Answer<void> set_guest_vcpus(const DomainView& view, const IdSet& ids, bool online);
// So many online.
[[nodiscard]] Answer<void> set_guest_vcpu_count(const DomainView& view, uint32_t count);

// The target ("vda") of the disk that an answer speaks of by its PCI address; empty: none of ours.
[[nodiscard]] std::string disk_target(const DomainView& view, const Json& disk);
}  // namespace lodge
