// What clients ask about the host while guests run: processors, their times, memory, pages, page sharing.
// Every call reads /proc or /sys anew and takes well below a millisecond (alloc_pages apart). Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/host/paths.h"

namespace lodge {

// virNodeInfo. When the host is uneven (offline processors, sockets of different sizes) so that the product
// nodes * sockets * cores * threads would not be the number of processors, it is told as one socket with that many cores.
struct NodeInfo {
  std::string model;  // "x86_64"
  uint64_t memory_kib = 0;
  uint32_t cpus = 0;  // online
  uint32_t mhz = 0;   // 0: not known
  uint32_t nodes = 1;
  uint32_t sockets = 1;  // of a node
  uint32_t cores = 1;    // of a socket
  uint32_t threads = 1;  // of a core
};
[[nodiscard]] Answer<NodeInfo> node_info(const HostPaths& paths);

struct NodeCpuMap {
  uint32_t present = 0;         // one above the highest present processor: the bits of the map
  uint32_t online = 0;          // how many are online
  std::vector<uint8_t> bitmap;  // online ones, bit 0 of byte 0 is processor 0
};
[[nodiscard]] Answer<NodeCpuMap> node_cpu_map(const HostPaths& paths);

struct NodeStat {
  std::string field;
  uint64_t value = 0;
};
// kernel, user, idle, iowait in nanoseconds since boot, in this order. cpu: a processor, or VIR_NODE_CPU_STATS_ALL_CPUS
// (-1).
[[nodiscard]] Answer<std::vector<NodeStat>> node_cpu_stats(const HostPaths& paths, int cpu);
// In KiB: total, free, buffers, cached of the host (VIR_NODE_MEMORY_STATS_ALL_CELLS, -1); total and free of a cell.
[[nodiscard]] Answer<std::vector<NodeStat>> node_memory_stats(const HostPaths& paths, int cell);

// Bytes.
[[nodiscard]] Answer<uint64_t> node_free_memory(const HostPaths& paths);
// Bytes of cells start_cell and up, at most max_cells values.
[[nodiscard]] Answer<std::vector<uint64_t>> node_cells_free_memory(const HostPaths& paths, int start_cell, int max_cells);

// Free pages: for each cell all of `sizes_kib` in order. start_cell -1 is the whole host.
[[nodiscard]] Answer<std::vector<uint64_t>> node_free_pages(const HostPaths& paths, std::span<const uint32_t> sizes_kib,
                                                            int start_cell, uint32_t cell_count);

struct PagePool {
  uint32_t size_kib = 0;
  uint64_t count = 0;
};
// Adds pages to the pools of each cell, or with VIR_NODE_ALLOC_PAGES_SET makes them this large. Returns how many pools were
// changed. The kernel may take seconds to find pages; an error tells how many it found.
[[nodiscard]] Answer<int> node_alloc_pages(const HostPaths& paths, std::span<const PagePool> pools, int start_cell,
                                           uint32_t cell_count, uint32_t flags);

// Kernel same-page merging: shm_*. 32 and 64 bit as libvirt types them. Empty when the kernel has none.
struct NodeParameter {
  std::string field;
  std::variant<uint32_t, uint64_t> value;
};
[[nodiscard]] Answer<std::vector<NodeParameter>> node_memory_parameters(const HostPaths& paths);
// shm_pages_to_scan, shm_sleep_millisecs and shm_merge_across_nodes can be set. All names are checked before one is written.
[[nodiscard]] Answer<void> set_node_memory_parameters(const HostPaths& paths, std::span<const NodeParameter> parameters);

}  // namespace lodge
