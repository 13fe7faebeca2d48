// How many vCPUs there are, and which.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"
#include "libvirt-driver/domains/vcpus.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kLiveOrConfig = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG;

Answer<DomainGetMaxVcpusRet> domain_get_max_vcpus(Call& call, const DomainGetMaxVcpusArgs& args) {
  return DomainGetMaxVcpusRet{.num = static_cast<int32_t>(TRY(find(call, args.dom))->view().config().vcpus.count)};
}

Answer<DomainGetVcpusFlagsRet> domain_get_vcpus_flags(Call& call, const DomainGetVcpusFlagsArgs& args) {
  TRY_VOID(
      check_flags(args.flags, kLiveOrConfig | VIR_DOMAIN_VCPU_MAXIMUM | VIR_DOMAIN_VCPU_GUEST, "virDomainGetVcpusFlags"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const bool maximum = (args.flags & VIR_DOMAIN_VCPU_MAXIMUM) != 0;
  const ConfigPtr config = TRY(queried(args.flags, view));
  if ((args.flags & VIR_DOMAIN_VCPU_GUEST) == 0) {
    return DomainGetVcpusFlagsRet{.num = static_cast<int32_t>(maximum ? config->vcpus.count : current_vcpus(config->vcpus))};
  }
  if (config != view.live) {
    return call_error(VIR_ERR_INVALID_ARG, "vCPU count provided by the guest agent can only be requested for live domains");
  }
  int32_t count = 0;
  for (const GuestVcpu& vcpu : TRY(guest_vcpus(view))) {
    count += maximum || vcpu.online ? 1 : 0;
  }
  return DomainGetVcpusFlagsRet{.num = count};
}

Answer<void> set_vcpus(Call& call, const DomainName& name, uint32_t count, uint32_t flags) {
  TRY_VOID(check_flags(flags, kLiveOrConfig | VIR_DOMAIN_VCPU_MAXIMUM | VIR_DOMAIN_VCPU_GUEST | VIR_DOMAIN_VCPU_HOTPLUGGABLE,
                       "virDomainSetVcpusFlags"));
  const DomainPtr domain = TRY(find(call, name));
  const auto job = TRY(domain->begin_job("set-vcpus"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(flags, view));
  if (count == 0) {
    return call_error(VIR_ERR_INVALID_ARG, "the number of vCPUs must not be 0");
  }
  if ((flags & VIR_DOMAIN_VCPU_GUEST) != 0) {
    if (which.config) {
      return call_error(VIR_ERR_INVALID_ARG, "the guest's own setting cannot be kept in a definition");
    }
    return set_guest_vcpu_count(view, count);
  }
  if ((flags & VIR_DOMAIN_VCPU_MAXIMUM) != 0) {
    if (which.live) {
      return call_error(VIR_ERR_OPERATION_INVALID, "maximum vcpu count of a live domain can't be modified");
    }
    DomainConfig config = *view.persistent;
    TRY_VOID(set_max_vcpus_config(config, count));
    return call.driver.replace_definition(domain, std::move(config));
  }
  std::optional<DomainConfig> config;
  if (which.config) {  // checked before the running guest changes
    config = *view.persistent;
    TRY_VOID(set_vcpus_config(*config, count, (flags & VIR_DOMAIN_VCPU_HOTPLUGGABLE) != 0));
  }
  if (which.live) {
    TRY_VOID(set_vcpus_live(call.driver, domain, count));
  }
  return config ? call.driver.replace_definition(domain, std::move(*config)) : Answer<void>();
}

Answer<void> domain_set_vcpus(Call& call, const DomainSetVcpusArgs& args) {
  return set_vcpus(call, args.dom, args.nvcpus, VIR_DOMAIN_AFFECT_LIVE);
}
Answer<void> domain_set_vcpus_flags(Call& call, const DomainSetVcpusFlagsArgs& args) {
  return set_vcpus(call, args.dom, args.nvcpus, args.flags);
}

Answer<IdSet> vcpu_list(const std::string& text, int32_t state) {
  const auto ids = parse_id_set(text);
  if (!ids || ids->ids.empty()) {
    return call_error(VIR_ERR_INVALID_ARG, "'{}' is no list of vCPUs like 1,3-4", text);
  }
  if (state != 0 && state != 1) {
    return call_error(VIR_ERR_INVALID_ARG, "the state of a vCPU is 0 or 1, not {}", state);
  }
  return *ids;
}

Answer<void> domain_set_vcpu(Call& call, const DomainSetVcpuArgs& args) {
  TRY_VOID(check_flags(args.flags, kLiveOrConfig, "virDomainSetVcpu"));
  const IdSet ids = TRY(vcpu_list(args.cpumap, args.state));
  const DomainPtr domain = TRY(find(call, args.dom));
  const auto job = TRY(domain->begin_job("set-vcpu"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(args.flags, view));
  std::optional<DomainConfig> config;
  if (which.config) {
    config = *view.persistent;
    TRY_VOID(set_vcpu_state_config(*config, ids, args.state == 1));
  }
  if (which.live) {
    TRY_VOID(set_vcpu_state_live(call.driver, domain, ids, args.state == 1));
  }
  return config ? call.driver.replace_definition(domain, std::move(*config)) : Answer<void>();
}

Answer<DomainGetGuestVcpusRet> domain_get_guest_vcpus(Call& call, const DomainGetGuestVcpusArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainGetGuestVcpus"));
  const DomainView view = TRY(find(call, args.dom))->view();
  IdSet vcpus;
  IdSet online;
  IdSet offlinable;
  for (const GuestVcpu& vcpu : TRY(guest_vcpus(view))) {
    vcpus.ids.push_back(vcpu.id);
    if (vcpu.online) {
      online.ids.push_back(vcpu.id);
    }
    if (vcpu.can_offline) {
      offlinable.ids.push_back(vcpu.id);
    }
  }
  DomainGetGuestVcpusRet reply;
  reply.params.push_back(text_param("vcpus", print_id_set(vcpus)));
  reply.params.push_back(text_param("online", print_id_set(online)));
  reply.params.push_back(text_param("offlinable", print_id_set(offlinable)));
  return reply;
}

Answer<void> domain_set_guest_vcpus(Call& call, const DomainSetGuestVcpusArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainSetGuestVcpus"));
  const IdSet ids = TRY(vcpu_list(args.cpumap, args.state));
  const DomainPtr domain = TRY(find(call, args.dom));
  const auto job = TRY(domain->begin_job("set-guest-vcpus"));
  return set_guest_vcpus(domain->view(), ids, args.state == 1);
}

constexpr std::array kCalls{
    bind<Proc::domain_get_max_vcpus, domain_get_max_vcpus>(),
    bind<Proc::domain_get_vcpus_flags, domain_get_vcpus_flags>(),
    bind<Proc::domain_set_vcpus, domain_set_vcpus>(),
    bind<Proc::domain_set_vcpus_flags, domain_set_vcpus_flags>(),
    bind<Proc::domain_set_vcpu, domain_set_vcpu>(),
    bind<Proc::domain_get_guest_vcpus, domain_get_guest_vcpus>(),
    bind<Proc::domain_set_guest_vcpus, domain_set_guest_vcpus>(),
};

}  // namespace

Bindings vcpu_count_calls() { return kCalls; }

}  // namespace lodge
