#include "libvirt-driver/domains/agent.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>

#include <algorithm>

namespace lodge {
namespace {

const DomainChannel* agent_channel(const DomainView& view) {
  if (!view.active()) {
    return nullptr;
  }
  const auto& channels = view.live->devices.channels;
  const auto it = std::ranges::find_if(channels, [](const DomainChannel& channel) {
    return channel.name == kAgentChannel && channel.source.type == CharType::unix_socket;
  });
  return it == channels.end() ? nullptr : &*it;
}

// The path of the agent's socket, in a guest that runs.
Answer<std::string> agent_socket(const DomainView& view) {
  const DomainChannel* channel = agent_channel(view);
  if (channel == nullptr) {
    if (!view.active()) {
      return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
    }
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
  }
  if (channel->state == ChannelState::disconnected) {
    return call_error(VIR_ERR_AGENT_UNRESPONSIVE, "QEMU guest agent is not connected");
  }
  return channel->source.path;
}

}  // namespace

bool has_agent(const DomainView& view) { return agent_channel(view) != nullptr; }

Answer<Json> agent_command(const DomainView& view, const Json& command, int timeout) {
  if (timeout < VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK) {
    return call_error(VIR_ERR_INVALID_ARG, "guest agent timeout '{}' is less than the minimum '{}'", timeout,
                      static_cast<int>(VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK));
  }
  const std::string path = TRY(agent_socket(view));
  return view.run->agent.command(path, command, timeout);
}

Answer<void> agent_farewell(const DomainView& view, const Json& command, std::chrono::milliseconds patience) {
  const std::string path = TRY(agent_socket(view));
  return view.run->agent.farewell(path, command, patience);
}

Answer<void> agent_shutdown(const DomainView& view, const std::string& mode) {
  return agent_farewell(view, {{"execute", "guest-shutdown"}, {"arguments", {{"mode", mode}}}},
                        std::chrono::milliseconds(0));
}

std::string disk_target(const DomainView& view, const Json& disk) {
  const auto controller = disk.find("pci-controller");
  if (!view.live || controller == disk.end() || !controller->is_object()) {
    return "";
  }
  for (const DomainDisk& one : view.live->devices.disks) {
    const auto* pci = one.address ? std::get_if<PciAddress>(&*one.address) : nullptr;
    if (pci != nullptr && integer_in<int64_t>(*controller, "domain") == pci->domain &&
        integer_in<int64_t>(*controller, "bus") == pci->bus && integer_in<int64_t>(*controller, "slot") == pci->slot &&
        integer_in<int64_t>(*controller, "function") == pci->function) {
      return one.target;
    }
  }
  return "";
}

}  // namespace lodge
