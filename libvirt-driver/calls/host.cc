// What the host is and has.
#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/host/host_service.h"
#include "libvirt-driver/host/offered.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

const HostPaths& paths(Call& call) { return call.driver.host().paths(); }

Answer<ConnectGetHostnameRet> connect_get_hostname(Call& call, const ConnectGetHostnameArgs&) {
  return ConnectGetHostnameRet{.hostname = TRY(call.driver.host().name())};
}

Answer<ConnectGetCapabilitiesRet> connect_get_capabilities(Call& call, const ConnectGetCapabilitiesArgs&) {
  return ConnectGetCapabilitiesRet{.capabilities = capabilities_xml(TRY(call.driver.host().facts()))};
}

Answer<ConnectGetDomainCapabilitiesRet> connect_get_domain_capabilities(Call& call,
                                                                        const ConnectGetDomainCapabilitiesArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virConnectGetDomainCapabilities"));
  HostService& host = call.driver.host();
  const auto models = TRY(host.models());
  return ConnectGetDomainCapabilitiesRet{
      .capabilities = TRY(domain_capabilities_xml(
          {.emulator = args.emulatorbin, .arch = args.arch, .machine = args.machine, .virttype = args.virttype},
          TRY(host.facts()), *models))};
}

Answer<ConnectGetMaxVcpusRet> connect_get_max_vcpus(Call&, const ConnectGetMaxVcpusArgs& args) {
  if (args.type && *args.type != offered::kDomainType) {
    return call_error(VIR_ERR_INVALID_ARG, "unknown type '{}'; this is a hypervisor of type '{}'", *args.type,
                      offered::kDomainType);
  }
  return ConnectGetMaxVcpusRet{.max_vcpus = static_cast<int32_t>(offered::kMaxVcpus)};
}

Answer<ConnectGetSysinfoRet> connect_get_sysinfo(Call& call, const ConnectGetSysinfoArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virConnectGetSysinfo"));
  return ConnectGetSysinfoRet{.sysinfo = TRY(sysinfo_xml(paths(call)))};
}

Answer<NodeGetInfoRet> node_get_info(Call& call, const NodeGetInfoArgs&) {
  const NodeInfo info = TRY(node_info(paths(call)));
  NodeGetInfoRet reply;
  for (size_t i = 0; i < std::min(info.model.size(), reply.model.size() - 1); ++i) {
    reply.model.at(i) = static_cast<unsigned char>(info.model[i]);
  }
  reply.memory = info.memory_kib;
  reply.cpus = static_cast<int32_t>(info.cpus);
  reply.mhz = static_cast<int32_t>(info.mhz);
  reply.nodes = static_cast<int32_t>(info.nodes);
  reply.sockets = static_cast<int32_t>(info.sockets);
  reply.cores = static_cast<int32_t>(info.cores);
  reply.threads = static_cast<int32_t>(info.threads);
  return reply;
}

// The two-call pattern of the node's statistics.
template <class Ret>
Ret counted_stats(int32_t wanted, const std::vector<NodeStat>& stats) {
  Ret reply;
  reply.nparams = static_cast<int32_t>(stats.size());
  for (const NodeStat& stat : stats) {
    if (static_cast<int32_t>(reply.params.size()) < wanted) {
      reply.params.push_back({.field = stat.field, .value = stat.value});
    }
  }
  return reply;
}

Answer<NodeGetCpuStatsRet> node_get_cpu_stats(Call& call, const NodeGetCpuStatsArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virNodeGetCPUStats"));
  return counted_stats<NodeGetCpuStatsRet>(args.nparams, TRY(node_cpu_stats(paths(call), args.cpu_num)));
}

Answer<NodeGetMemoryStatsRet> node_get_memory_stats(Call& call, const NodeGetMemoryStatsArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virNodeGetMemoryStats"));
  return counted_stats<NodeGetMemoryStatsRet>(args.nparams, TRY(node_memory_stats(paths(call), args.cell_num)));
}

Answer<NodeGetFreeMemoryRet> node_get_free_memory(Call& call, const NodeGetFreeMemoryArgs&) {
  return NodeGetFreeMemoryRet{.free_mem = TRY(node_free_memory(paths(call)))};
}

Answer<NodeGetCellsFreeMemoryRet> node_get_cells_free_memory(Call& call, const NodeGetCellsFreeMemoryArgs& args) {
  const auto cells = TRY(node_cells_free_memory(paths(call), args.start_cell, std::min(args.maxcells, 1024)));
  NodeGetCellsFreeMemoryRet reply;
  reply.cells.assign(cells.begin(), cells.end());
  return reply;
}

Answer<NodeGetFreePagesRet> node_get_free_pages(Call& call, const NodeGetFreePagesArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virNodeGetFreePages"));
  if (args.pages.size() * uint64_t{args.cell_count} > 1024) {
    return call_error(VIR_ERR_INVALID_ARG, "{} page sizes of {} cells are too many at once", args.pages.size(),
                      args.cell_count);
  }
  const auto counts = TRY(node_free_pages(paths(call), args.pages, args.start_cell, args.cell_count));
  NodeGetFreePagesRet reply;
  reply.counts.assign(counts.begin(), counts.end());
  return reply;
}

Answer<NodeAllocPagesRet> node_alloc_pages(Call& call, const NodeAllocPagesArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_NODE_ALLOC_PAGES_SET, "virNodeAllocPages"));
  if (args.page_sizes.size() != args.page_counts.size()) {
    return call_error(VIR_ERR_INVALID_ARG, "{} page sizes and {} counts do not match", args.page_sizes.size(),
                      args.page_counts.size());
  }
  std::vector<PagePool> pools;
  pools.reserve(args.page_sizes.size());
  for (size_t i = 0; i < args.page_sizes.size(); ++i) {
    pools.push_back({.size_kib = args.page_sizes[i], .count = args.page_counts[i]});
  }
  return NodeAllocPagesRet{
      .ret = TRY(lodge::node_alloc_pages(paths(call), pools, args.start_cell, args.cell_count, args.flags))};
}

Answer<NodeGetMemoryParametersRet> node_get_memory_parameters(Call& call, const NodeGetMemoryParametersArgs& args) {
  Params params;
  for (const NodeParameter& parameter : TRY(node_memory_parameters(paths(call)))) {
    params.push_back({parameter.field, std::visit([](auto value) { return TypedParam::Value(value); }, parameter.value)});
  }
  return counted_params<NodeGetMemoryParametersRet>(args.nparams, std::move(params));
}

Answer<void> node_set_memory_parameters(Call& call, const NodeSetMemoryParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virNodeSetMemoryParameters"));
  std::vector<NodeParameter> parameters;
  for (const TypedParam& param : args.params) {
    parameters.push_back({.field = param.field, .value = static_cast<uint32_t>(TRY(number_of(param)))});
  }
  return set_node_memory_parameters(paths(call), parameters);
}

Answer<NodeGetCpuMapRet> node_get_cpu_map(Call& call, const NodeGetCpuMapArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virNodeGetCPUMap"));
  const NodeCpuMap map = TRY(node_cpu_map(paths(call)));
  NodeGetCpuMapRet reply;
  reply.ret = static_cast<int32_t>(map.present);
  if (args.need_map != 0) {
    reply.cpumap.assign(map.bitmap.begin(), map.bitmap.end());
  }
  if (args.need_online != 0) {
    reply.online = map.online;
  }
  return reply;
}

// No security driver: an empty model, as libvirt tells it.
Answer<NodeGetSecurityModelRet> node_get_security_model(Call&, const NodeGetSecurityModelArgs&) {
  return NodeGetSecurityModelRet{};
}

constexpr std::array kCalls{
    bind<Proc::connect_get_hostname, connect_get_hostname>(),
    bind<Proc::connect_get_capabilities, connect_get_capabilities>(),
    bind<Proc::connect_get_domain_capabilities, connect_get_domain_capabilities>(),
    bind<Proc::connect_get_max_vcpus, connect_get_max_vcpus>(),
    bind<Proc::connect_get_sysinfo, connect_get_sysinfo>(),
    bind<Proc::node_get_info, node_get_info>(),
    bind<Proc::node_get_cpu_stats, node_get_cpu_stats>(),
    bind<Proc::node_get_memory_stats, node_get_memory_stats>(),
    bind<Proc::node_get_free_memory, node_get_free_memory>(),
    bind<Proc::node_get_cells_free_memory, node_get_cells_free_memory>(),
    bind<Proc::node_get_free_pages, node_get_free_pages>(),
    bind<Proc::node_alloc_pages, node_alloc_pages>(),
    bind<Proc::node_get_memory_parameters, node_get_memory_parameters>(),
    bind<Proc::node_set_memory_parameters, node_set_memory_parameters>(),
    bind<Proc::node_get_cpu_map, node_get_cpu_map>(),
    bind<Proc::node_get_security_model, node_get_security_model>(),
};

}  // namespace

Bindings host_calls() { return kCalls; }

}  // namespace lodge
