// CPU models: names, comparing, common denominators.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/host/cpu_match.h"
#include "libvirt-driver/host/host_service.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kCompareFlags = VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE | VIR_CONNECT_COMPARE_CPU_VALIDATE_XML;
constexpr uint32_t kBaselineFlags = VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES | VIR_CONNECT_BASELINE_CPU_MIGRATABLE;

Answer<ConnectGetCpuModelNamesRet> connect_get_cpu_model_names(Call& call, const ConnectGetCpuModelNamesArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virConnectGetCPUModelNames"));
  const auto models = TRY(call.driver.host().models());
  const auto names = TRY(cpu_model_names(*models, args.arch));
  ConnectGetCpuModelNamesRet reply;
  reply.ret = static_cast<int32_t>(names.size());
  if (args.need_results != 0) {
    reply.models.assign(names.begin(), names.end());
  }
  return reply;
}

Answer<ConnectCompareCpuRet> connect_compare_cpu(Call& call, const ConnectCompareCpuArgs& args) {
  TRY_VOID(check_flags(args.flags, kCompareFlags, "virConnectCompareCPU"));
  const auto models = TRY(call.driver.host().models());
  const CpuFacts host = models->facts(TRY(processor_cpuid()));
  return ConnectCompareCpuRet{.result = TRY(compare_cpu(*models, host, args.xml, args.flags))};
}

Answer<ConnectBaselineCpuRet> connect_baseline_cpu(Call& call, const ConnectBaselineCpuArgs& args) {
  TRY_VOID(check_flags(args.flags, kBaselineFlags, "virConnectBaselineCPU"));
  const auto models = TRY(call.driver.host().models());
  return ConnectBaselineCpuRet{.cpu = TRY(baseline_cpu(*models, args.xml_cpus, args.flags))};
}

// What KVM offers to guests of the kind that is asked for.
Answer<CpuFacts> offered_to(Call& call, const DomainCapabilitiesRequest& request, const CpuModels& models) {
  HostService& host = call.driver.host();
  TRY_VOID(check_offered(request, TRY(host.facts())));
  return models.facts(TRY(host.kvm()()));
}

Answer<ConnectCompareHypervisorCpuRet> connect_compare_hypervisor_cpu(Call& call,
                                                                      const ConnectCompareHypervisorCpuArgs& args) {
  TRY_VOID(check_flags(args.flags, kCompareFlags, "virConnectCompareHypervisorCPU"));
  const auto models = TRY(call.driver.host().models());
  const CpuFacts offered = TRY(offered_to(call, {args.emulator, args.arch, args.machine, args.virttype}, *models));
  return ConnectCompareHypervisorCpuRet{.result =
                                            TRY(compare_cpu(*models, offered, args.xml_cpu, args.flags, "hypervisor CPU"))};
}

Answer<ConnectBaselineHypervisorCpuRet> connect_baseline_hypervisor_cpu(Call& call,
                                                                        const ConnectBaselineHypervisorCpuArgs& args) {
  TRY_VOID(check_flags(args.flags, kBaselineFlags, "virConnectBaselineHypervisorCPU"));
  const auto models = TRY(call.driver.host().models());
  const CpuFacts offered = TRY(offered_to(call, {args.emulator, args.arch, args.machine, args.virttype}, *models));
  return ConnectBaselineHypervisorCpuRet{.cpu = TRY(baseline_cpu(*models, args.xml_cpus, args.flags, &offered.features))};
}

constexpr std::array kCalls{
    bind<Proc::connect_get_cpu_model_names, connect_get_cpu_model_names>(),
    bind<Proc::connect_compare_cpu, connect_compare_cpu>(),
    bind<Proc::connect_baseline_cpu, connect_baseline_cpu>(),
    bind<Proc::connect_compare_hypervisor_cpu, connect_compare_hypervisor_cpu>(),
    bind<Proc::connect_baseline_hypervisor_cpu, connect_baseline_hypervisor_cpu>(),
};

}  // namespace

Bindings cpu_calls() { return kCalls; }

}  // namespace lodge
