// The vCPUs as the guest switches them on and off by itself, through its agent.
#include <libvirt/libvirt.h>

#include <algorithm>

#include "libvirt-driver/domains/agent.h"

namespace lodge {
namespace {

constexpr size_t kMostVcpus = 4096;

Json switch_of(uint32_t id, bool online) { return {{"logical-id", id}, {"online", online}}; }

// The agent says how many of the list it has switched; fewer: something was wrong with the next one.
Answer<void> set(const DomainView& view, Json list) {
  while (!list.empty()) {
    const Json answer = TRY(
        agent_command(view, {{"execute", "guest-set-vcpus"}, {"arguments", {{"vcpus", list}}}}, view.run->agent_timeout));
    const int64_t done = answer.is_number_integer() ? answer.get<int64_t>() : 0;
    if (done <= 0 || done > static_cast<int64_t>(list.size())) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "failed to set state of cpu {} via guest agent",
                        integer_in<int64_t>(list.front(), "logical-id"));
    }
    list.erase(list.begin(), list.begin() + done);
  }
  return {};
}

}  // namespace

Answer<std::vector<GuestVcpu>> guest_vcpus(const DomainView& view) {
  const int timeout = view.run ? view.run->agent_timeout.load() : -1;
  const Json answer = TRY(agent_command(view, {{"execute", "guest-get-vcpus"}}, timeout));
  std::vector<GuestVcpu> vcpus;
  for (const Json& entry : objects_in(answer)) {
    const int64_t id = integer_in<int64_t>(entry, "logical-id");
    if (id < 0 || id >= static_cast<int64_t>(kMostVcpus) || vcpus.size() >= kMostVcpus) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "guest-get-vcpus: the agent names vCPU {}", id);
    }
    vcpus.push_back({static_cast<uint32_t>(id), flag_in(entry, "online"), flag_in(entry, "can-offline")});
  }
  std::ranges::sort(vcpus, {}, &GuestVcpu::id);
  return vcpus;
}

Answer<void> set_guest_vcpus(const DomainView& view, const IdSet& ids, bool online) {
  const std::vector<GuestVcpu> vcpus = TRY(guest_vcpus(view));
  Json list = Json::array();
  for (const uint32_t id : ids.ids) {
    const auto it = std::ranges::find(vcpus, id, &GuestVcpu::id);
    if (it == vcpus.end()) {
      return call_error(VIR_ERR_INVALID_ARG, "guest is missing vCPUs '{}'", id);
    }
    if (!online && !it->can_offline) {
      return call_error(VIR_ERR_INVALID_ARG, "vCPU '{}' can't be offlined", id);
    }
    if (it->online != online) {
      list.push_back(switch_of(id, online));
    }
  }
  return set(view, std::move(list));
}

Answer<void> set_guest_vcpu_count(const DomainView& view, uint32_t count) {
  const std::vector<GuestVcpu> vcpus = TRY(guest_vcpus(view));
  if (count > vcpus.size()) {
    return call_error(VIR_ERR_INVALID_ARG,
                      "requested vcpu count is greater than the count of enabled vcpus in the domain: {} > {}", count,
                      vcpus.size());
  }
  auto online = static_cast<uint32_t>(std::ranges::count(vcpus, true, &GuestVcpu::online));
  Json list = Json::array();
  for (const GuestVcpu& vcpu : vcpus) {
    if (online < count && !vcpu.online) {
      list.push_back(switch_of(vcpu.id, true));
      ++online;
    }
  }
  for (auto vcpu = vcpus.rbegin(); vcpu != vcpus.rend(); ++vcpu) {
    if (online > count && vcpu->online && vcpu->can_offline) {
      list.push_back(switch_of(vcpu->id, false));
      --online;
    }
  }
  if (online != count) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "guest agent didn't report enough offlineable vCPUs to reach {}", count);
  }
  return set(view, std::move(list));
}

}  // namespace lodge
