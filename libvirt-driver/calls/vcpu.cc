// vCPUs: on which processors, what they do. How many: vcpu_count.cc.
#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/affinity.h"
#include "libvirt-driver/domains/proc_stat.h"
#include "libvirt-driver/domains/threads.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kLiveOrConfig = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG;

// The set a vCPU may use by its definition; all processors if nothing says otherwise.
IdSet pinned_to(const DomainConfig& config, uint32_t vcpu) {
  for (const CpuPin& pin : config.cpu_tune.vcpu_pins) {
    if (pin.id == vcpu) {
      return pin.cpus;
    }
  }
  if (!config.vcpus.cpuset.ids.empty()) {
    return config.vcpus.cpuset;
  }
  IdSet all;
  for (uint32_t cpu = 0; cpu < host_cpu_count(); ++cpu) {
    all.ids.push_back(cpu);
  }
  return all;
}

Answer<IdSet> wanted_set(std::span<const uint8_t> bitmap) {
  IdSet set = to_set(bitmap);
  std::erase_if(set.ids, [](uint32_t cpu) { return cpu >= host_cpu_count(); });
  if (set.ids.empty()) {
    return call_error(VIR_ERR_INVALID_ARG, "the CPU map names no processor of this host");
  }
  return set;
}

Answer<DomainGetVcpusRet> domain_get_vcpus(Call& call, const DomainGetVcpusArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  const auto run = TRY(Driver::running(view));
  if (args.maxinfo < 0 || args.maplen < 0 || int64_t{args.maxinfo} * args.maplen > int64_t{8} << 20) {
    return call_error(VIR_ERR_RPC, "{} vCPUs with maps of {} bytes are too many", args.maxinfo, args.maplen);
  }
  const GuestThreads threads = TRY(guest_threads(*run));
  DomainGetVcpusRet reply;
  for (const auto& [number, thread] : threads.vcpus) {
    if (static_cast<int64_t>(reply.info.size()) >= args.maxinfo) {
      break;
    }
    const ThreadStat stat = thread_stat(run->process.pid, thread);
    reply.info.push_back({.number = number, .state = VIR_VCPU_RUNNING, .cpu_time = stat.time, .cpu = stat.processor});
    if (args.maplen > 0) {
      const auto set = thread_cpus(thread);
      const CpuBitmap map = to_bitmap(set ? *set : IdSet(), static_cast<size_t>(args.maplen));
      reply.cpumaps.insert(reply.cpumaps.end(), map.begin(), map.end());
    }
  }
  return reply;
}

Answer<DomainGetVcpuPinInfoRet> domain_get_vcpu_pin_info(Call& call, const DomainGetVcpuPinInfoArgs& args) {
  TRY_VOID(check_flags(args.flags, kLiveOrConfig, "virDomainGetVcpuPinInfo"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const ConfigPtr config = TRY(queried(args.flags, view));
  if (args.ncpumaps < 0 || args.maplen < 0 || int64_t{args.ncpumaps} * args.maplen > int64_t{8} << 20) {
    return call_error(VIR_ERR_RPC, "{} maps of {} bytes are too many", args.ncpumaps, args.maplen);
  }
  DomainGetVcpuPinInfoRet reply;
  reply.num = std::min(static_cast<int32_t>(config->vcpus.count), args.ncpumaps);
  for (int32_t vcpu = 0; vcpu < reply.num; ++vcpu) {
    const CpuBitmap map = to_bitmap(pinned_to(*config, static_cast<uint32_t>(vcpu)), static_cast<size_t>(args.maplen));
    reply.cpumaps.insert(reply.cpumaps.end(), map.begin(), map.end());
  }
  return reply;
}

void set_pin(std::vector<CpuPin>& pins, uint32_t vcpu, const IdSet& cpus) {
  std::erase_if(pins, [vcpu](const CpuPin& pin) { return pin.id == vcpu; });
  pins.push_back({.id = vcpu, .cpus = cpus});
  std::ranges::sort(pins, {}, &CpuPin::id);
}

Answer<void> pin_vcpu(Call& call, const DomainName& name, uint32_t vcpu, std::span<const uint8_t> bitmap, uint32_t flags) {
  TRY_VOID(check_flags(flags, kLiveOrConfig, "virDomainPinVcpuFlags"));
  const DomainPtr domain = TRY(find(call, name));
  const auto job = TRY(domain->begin_job("pin-vcpu"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(flags, view));
  const IdSet cpus = TRY(wanted_set(bitmap));
  if (which.live) {
    const auto run = TRY(Driver::running(view));
    const auto threads = TRY(guest_threads(*run)).vcpus;
    const auto it = threads.find(vcpu);
    if (it == threads.end()) {
      return call_error(VIR_ERR_INVALID_ARG, "vcpu {} is out of range of live cpu count {}", vcpu, threads.size());
    }
    TRY_VOID(pin_thread(it->second, cpus));
    DomainConfig live = *view.live;
    set_pin(live.cpu_tune.vcpu_pins, vcpu, cpus);
    call.driver.replace_live(domain, std::move(live));
    call.driver.events().emit(
        VIR_DOMAIN_EVENT_ID_TUNABLE,
        DomainEventCallbackTunableMsg{.callback_id = 0,
                                      .dom = view.rpc_name(),
                                      .params = {text_param(fmt::format("cputune.vcpupin{}", vcpu), print_id_set(cpus))}});
  }
  if (which.config) {
    DomainConfig config = *view.persistent;
    if (vcpu >= config.vcpus.count) {
      return call_error(VIR_ERR_INVALID_ARG, "vcpu {} is out of range of persistent cpu count {}", vcpu, config.vcpus.count);
    }
    set_pin(config.cpu_tune.vcpu_pins, vcpu, cpus);
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

Answer<void> domain_pin_vcpu(Call& call, const DomainPinVcpuArgs& args) {
  return pin_vcpu(call, args.dom, args.vcpu, args.cpumap, VIR_DOMAIN_AFFECT_LIVE);
}
Answer<void> domain_pin_vcpu_flags(Call& call, const DomainPinVcpuFlagsArgs& args) {
  return pin_vcpu(call, args.dom, args.vcpu, args.cpumap, args.flags);
}

Answer<DomainGetEmulatorPinInfoRet> domain_get_emulator_pin_info(Call& call, const DomainGetEmulatorPinInfoArgs& args) {
  TRY_VOID(check_flags(args.flags, kLiveOrConfig, "virDomainGetEmulatorPinInfo"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const ConfigPtr config = TRY(queried(args.flags, view));
  if (args.maplen <= 0 || args.maplen > 2048) {
    return call_error(VIR_ERR_INVALID_ARG, "a map of {} bytes is not possible", args.maplen);
  }
  const IdSet& pinned = config->cpu_tune.emulator_pin;
  const CpuBitmap map =
      to_bitmap(pinned.ids.empty() ? pinned_to(*config, config->vcpus.count) : pinned, static_cast<size_t>(args.maplen));
  DomainGetEmulatorPinInfoRet reply;
  reply.cpumaps.assign(map.begin(), map.end());
  reply.ret = 1;
  return reply;
}

Answer<void> domain_pin_emulator(Call& call, const DomainPinEmulatorArgs& args) {
  TRY_VOID(check_flags(args.flags, kLiveOrConfig, "virDomainPinEmulator"));
  const DomainPtr domain = TRY(find(call, args.dom));
  const auto job = TRY(domain->begin_job("pin-emulator"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(args.flags, view));
  const IdSet cpus = TRY(wanted_set(args.cpumap));
  if (which.live) {
    const auto run = TRY(Driver::running(view));
    DomainConfig live = *view.live;
    live.cpu_tune.emulator_pin = cpus;
    TRY_VOID(apply_affinity(live, *run));
    call.driver.replace_live(domain, std::move(live));
  }
  if (which.config) {
    DomainConfig config = *view.persistent;
    config.cpu_tune.emulator_pin = cpus;
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

Answer<DomainGetCpuStatsRet> domain_get_cpu_stats(Call& call, const DomainGetCpuStatsArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_TYPED_PARAM_STRING_OKAY, "virDomainGetCPUStats"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const auto run = TRY(Driver::running(view));
  DomainGetCpuStatsRet reply;
  if (args.start_cpu != -1) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "times of a guest by processor are not kept; use --total");
  }
  const CpuTime time = process_cpu_time(run->process.pid);
  Params params{ullong_param("cpu_time", time.total), ullong_param("user_time", time.user),
                ullong_param("system_time", time.system)};
  reply.nparams = static_cast<int32_t>(params.size());
  if (args.nparams != 0) {
    params.resize(std::min<size_t>(params.size(), args.nparams));
    reply.nparams = static_cast<int32_t>(params.size());
    reply.params.assign(params.begin(), params.end());
  }
  return reply;
}

constexpr std::array kCalls{
    bind<Proc::domain_get_vcpus, domain_get_vcpus>(),
    bind<Proc::domain_get_vcpu_pin_info, domain_get_vcpu_pin_info>(),
    bind<Proc::domain_pin_vcpu, domain_pin_vcpu>(),
    bind<Proc::domain_pin_vcpu_flags, domain_pin_vcpu_flags>(),
    bind<Proc::domain_get_emulator_pin_info, domain_get_emulator_pin_info>(),
    bind<Proc::domain_pin_emulator, domain_pin_emulator>(),
    bind<Proc::domain_get_cpu_stats, domain_get_cpu_stats>(),
};

}  // namespace

Bindings vcpu_calls() { return kCalls; }

}  // namespace lodge
