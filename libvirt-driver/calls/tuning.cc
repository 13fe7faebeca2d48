// Shares of the host: what a definition says of them. Enforcing them is the control group's work, which this version leaves
// to the host's own: live changes are refused, never swallowed.
#include <array>

#include "libvirt-driver/calls/calls.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kQueryFlags = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG | VIR_TYPED_PARAM_STRING_OKAY;

Params memory_params(const DomainConfig& config) {
  Params params;
  const auto add = [&params](const char* name, const std::optional<uint64_t>& value) {
    params.push_back(ullong_param(name, value.value_or(VIR_DOMAIN_MEMORY_PARAM_UNLIMITED)));
  };
  add(VIR_DOMAIN_MEMORY_HARD_LIMIT, config.memory_tune.hard_limit);
  add(VIR_DOMAIN_MEMORY_SOFT_LIMIT, config.memory_tune.soft_limit);
  add(VIR_DOMAIN_MEMORY_SWAP_HARD_LIMIT, config.memory_tune.swap_hard_limit);
  return params;
}

Answer<DomainGetMemoryParametersRet> domain_get_memory_parameters(Call& call, const DomainGetMemoryParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kQueryFlags, "virDomainGetMemoryParameters"));
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  return counted_params<DomainGetMemoryParametersRet>(args.nparams, memory_params(*config));
}

Answer<DomainGetNumaParametersRet> domain_get_numa_parameters(Call& call, const DomainGetNumaParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kQueryFlags, "virDomainGetNumaParameters"));
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  const NumaMode mode = config->numa_tune.mode;
  const int word = mode == NumaMode::absent ? 0 : static_cast<int>(mode) - 1;  // VIR_DOMAIN_NUMATUNE_MEM_*
  return counted_params<DomainGetNumaParametersRet>(
      args.nparams,
      {int_param(VIR_DOMAIN_NUMA_MODE, word), text_param(VIR_DOMAIN_NUMA_NODESET, print_id_set(config->numa_tune.nodeset))});
}

Answer<DomainGetIothreadInfoRet> domain_get_iothread_info(Call& call, const DomainGetIothreadInfoArgs& args) {
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  DomainGetIothreadInfoRet reply;
  for (uint32_t id = 1; id <= config->iothreads.value_or(0); ++id) {
    reply.info.push_back({.iothread_id = id, .cpumap = {}});
  }
  reply.ret = static_cast<uint32_t>(reply.info.size());
  return reply;
}

constexpr std::array kCalls{
    bind<Proc::domain_get_memory_parameters, domain_get_memory_parameters>(),
    bind<Proc::domain_get_numa_parameters, domain_get_numa_parameters>(),
    bind<Proc::domain_get_iothread_info, domain_get_iothread_info>(),
};

}  // namespace

Bindings tuning_calls() { return kCalls; }

}  // namespace lodge
