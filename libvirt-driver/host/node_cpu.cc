// Processors of the host: nodeinfo, cpu map, times.
#include <libvirt/libvirt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "libvirt-driver/host/files.h"
#include "libvirt-driver/host/node.h"
#include "libvirt-driver/host/topology.h"

namespace lodge {
namespace {

// The first frequency in /proc/cpuinfo, 0 when there is none.
uint32_t processor_mhz(const HostPaths& paths) {
  const auto text = host::read_text_if_there(paths.proc + "/cpuinfo");
  if (!text) {
    return 0;
  }
  constexpr std::string_view kKey = "cpu MHz";
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    const std::string_view line = std::string_view(*text).substr(at, end - at);
    at = end + 1;
    const size_t colon = line.find(':');
    if (!line.starts_with(kKey) || colon == std::string_view::npos) {
      continue;
    }
    const std::string_view value = host::trimmed(line.substr(colon + 1));
    const auto mhz = host::number(value.substr(0, value.find('.')));
    return mhz && *mhz <= UINT32_MAX ? static_cast<uint32_t>(*mhz) : 0;
  }
  return 0;
}

void count_topology(const HostTopology& topology, NodeInfo& info) {
  info.nodes = 0;
  for (const HostCell& cell : topology.cells) {
    std::map<uint32_t, std::set<std::pair<uint32_t, uint32_t>>> sockets;  // socket -> die and core
    for (const HostProcessor& processor : cell.processors) {
      sockets[processor.socket].emplace(processor.die, processor.core);
      info.threads = std::max(info.threads, static_cast<uint32_t>(processor.siblings.size()));
    }
    if (cell.processors.empty()) {
      continue;  // a cell of memory alone is none of processors
    }
    ++info.nodes;
    info.sockets = std::max(info.sockets, static_cast<uint32_t>(sockets.size()));
    for (const auto& [socket, cores] : sockets) {
      info.cores = std::max(info.cores, static_cast<uint32_t>(cores.size()));
    }
  }
  const uint64_t product = uint64_t{info.nodes} * info.sockets * info.cores * info.threads;
  if (product != topology.present.size()) {
    info.nodes = info.sockets = info.threads = 1;
    info.cores = static_cast<uint32_t>(topology.present.size());
  }
}

}  // namespace

Answer<NodeInfo> node_info(const HostPaths& paths) {
  const HostTopology topology = TRY(host_topology(paths));
  NodeInfo info;
  info.model = "x86_64";
  for (const HostCell& cell : topology.cells) {
    info.memory_kib += cell.memory_kib;
  }
  info.cpus = static_cast<uint32_t>(topology.online.size());
  info.mhz = processor_mhz(paths);
  count_topology(topology, info);
  return info;
}

Answer<NodeCpuMap> node_cpu_map(const HostPaths& paths) {
  const HostTopology topology = TRY(host_topology(paths));
  NodeCpuMap map;
  map.present = topology.present.empty() ? 0 : topology.present.back() + 1;
  map.bitmap.resize((size_t{map.present} + 7) / 8);
  for (const uint32_t cpu : topology.online) {
    if (cpu < map.present) {
      map.bitmap[cpu / 8] |= static_cast<uint8_t>(1U << (cpu % 8));
      ++map.online;
    }
  }
  return map;
}

Answer<std::vector<NodeStat>> node_cpu_stats(const HostPaths& paths, int cpu) {
  if (cpu < 0 && cpu != VIR_NODE_CPU_STATS_ALL_CPUS) {
    return call_error(VIR_ERR_INVALID_ARG, "there is no processor {}; -1 stands for all", cpu);
  }
  const std::string text = TRY(host::read_text(paths.proc + "/stat"));
  const std::string key = cpu < 0 ? "cpu " : fmt::format("cpu{} ", cpu);
  size_t at = text.starts_with(key) ? 0 : text.find("\n" + key);
  if (at == std::string::npos) {
    return call_error(VIR_ERR_INVALID_ARG, "processor {} is not there or offline (virsh nodecpumap tells which are online)",
                      cpu);
  }
  at = text.find(' ', at);
  std::array<uint64_t, 7> ticks{};  // user, nice, system, idle, iowait, irq, softirq
  std::string_view line = std::string_view(text).substr(at);
  line = line.substr(0, line.find('\n'));
  for (uint64_t& value : ticks) {
    line = host::trimmed(line);
    const auto parsed = host::number(line.substr(0, line.find(' ')));
    if (!parsed) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "{}/stat: the times of '{}' are not understood", paths.proc,
                        host::trimmed(key));
    }
    value = *parsed;
    line.remove_prefix(std::min(line.find(' '), line.size()));
  }
  const uint64_t tick_ns = 1000000000ULL / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  return std::vector<NodeStat>{{VIR_NODE_CPU_STATS_KERNEL, (ticks[2] + ticks[5] + ticks[6]) * tick_ns},
                               {VIR_NODE_CPU_STATS_USER, (ticks[0] + ticks[1]) * tick_ns},
                               {VIR_NODE_CPU_STATS_IDLE, ticks[3] * tick_ns},
                               {VIR_NODE_CPU_STATS_IOWAIT, ticks[4] * tick_ns}};
}

}  // namespace lodge
