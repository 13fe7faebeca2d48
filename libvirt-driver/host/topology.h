// The host's processors and memory cells as /sys shows them. Any thread; read anew at each call.
#pragma once

#include <cstdint>
#include <vector>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/host/paths.h"

namespace lodge {

struct HostProcessor {  // an online one
  uint32_t id = 0;
  uint32_t socket = 0;
  uint32_t die = 0;
  uint32_t core = 0;
  std::vector<uint32_t> siblings;  // threads of the same core, itself too
};

struct HostPages {
  uint32_t size_kib = 0;
  uint64_t count = 0;  // in the pool; for the system's page size what is left of the memory
};

struct HostCell {
  uint32_t id = 0;
  uint64_t memory_kib = 0;
  std::vector<HostPages> pages;                          // ascending sizes, the system's own first
  std::vector<std::pair<uint32_t, uint32_t>> distances;  // cell and distance
  std::vector<HostProcessor> processors;                 // ascending ids
};

struct HostTopology {
  std::vector<uint32_t> present;  // processors, ascending; offline ones too
  std::vector<uint32_t> online;
  std::vector<HostCell> cells;  // ascending ids; one made-up cell 0 when the kernel knows none
  bool numa = false;            // the kernel knows cells
};

[[nodiscard]] Answer<HostTopology> host_topology(const HostPaths& paths);

// Page sizes of the host in KiB, ascending.
[[nodiscard]] std::vector<uint32_t> host_page_sizes(const HostPaths& paths);

}  // namespace lodge
