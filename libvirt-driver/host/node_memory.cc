// Memory of the host: statistics, free memory and pages, page pools, page sharing.
#include <libvirt/libvirt.h>

#include <algorithm>
#include <array>

#include "base/units.h"
#include "libvirt-driver/host/files.h"
#include "libvirt-driver/host/node.h"
#include "libvirt-driver/host/topology.h"

namespace lodge {
namespace {

constexpr uint32_t kSystemPageKib = kPageSize / kKiB;

std::string node_dir(const HostPaths& paths) { return paths.sys + "/devices/system/node"; }

// Cells' numbers; {0} and numa = false when the kernel knows none.
struct CellIds {
  std::vector<uint32_t> ids{0};
  bool numa = false;
  [[nodiscard]] int highest() const { return static_cast<int>(ids.back()); }
};

CellIds cell_ids(const HostPaths& paths) {
  CellIds out;
  if (auto ids = host::read_list(node_dir(paths) + "/online"); ids && !ids->empty()) {
    out = {std::move(*ids), true};
  }
  return out;
}

// A meminfo's text. cell -1, or a host without cells: the host's.
Result<std::string> meminfo(const HostPaths& paths, int cell, const CellIds& cells) {
  return host::read_text(cell < 0 || !cells.numa ? paths.proc + "/meminfo"
                                                 : fmt::format("{}/node{}/meminfo", node_dir(paths), cell));
}

Result<uint64_t> value_of(const std::string& text, std::string_view key) {
  const auto value = host::meminfo_value(text, key);
  if (!value) {
    return fail("the kernel's meminfo does not tell {}", key);
  }
  return *value;
}

Answer<uint64_t> free_kib(const HostPaths& paths, int cell, const CellIds& cells) {
  return TRY(value_of(TRY(meminfo(paths, cell, cells)), "MemFree"));
}

std::string pool_dir(const HostPaths& paths, int cell, const CellIds& cells, uint32_t size_kib) {
  const std::string base =
      cell < 0 || !cells.numa ? paths.sys + "/kernel/mm" : fmt::format("{}/node{}", node_dir(paths), cell);
  return fmt::format("{}/hugepages/hugepages-{}kB", base, size_kib);
}

// The last cell of a request for `count` cells from `start`; -1 is the whole host and stays alone.
Answer<int> last_cell(const CellIds& cells, int start, uint32_t count) {
  if (start < -1 || start > cells.highest()) {
    return call_error(VIR_ERR_INVALID_ARG, "start cell {} out of range (0-{})", start, cells.highest());
  }
  if (count == 0) {
    return call_error(VIR_ERR_INVALID_ARG, "the number of cells must not be 0");
  }
  if (start == -1) {
    return -1;
  }
  return static_cast<int>(std::min<int64_t>(cells.highest(), int64_t{start} + count - 1));
}

bool there(const CellIds& cells, int cell) {
  return cell < 0 || std::binary_search(cells.ids.begin(), cells.ids.end(), static_cast<uint32_t>(cell));
}

std::unexpected<CallError> no_such_pool(uint32_t size_kib, int cell) {
  return call_error(VIR_ERR_OPERATION_FAILED, "pages of {} KiB are not available on {}; virsh capabilities lists the sizes",
                    size_kib, cell < 0 ? std::string("this host") : fmt::format("cell {}", cell));
}

Answer<void> set_pool(const HostPaths& paths, const CellIds& cells, int cell, const PagePool& pool, bool add) {
  if (pool.size_kib == kSystemPageKib) {
    return call_error(VIR_ERR_OPERATION_INVALID, "the system's own pages ({} KiB) are no pool that can be resized",
                      kSystemPageKib);
  }
  const std::string dir = pool_dir(paths, cell, cells, pool.size_kib);
  if (!host::exists(dir)) {
    return no_such_pool(pool.size_kib, cell);
  }
  const std::string file = dir + "/nr_hugepages";
  const uint64_t before = TRY(host::read_number(file));
  const auto wanted = add ? checked_add(before, pool.count) : std::optional(pool.count);
  if (!wanted) {
    return call_error(VIR_ERR_OVERFLOW, "{} pages of {} KiB cannot be added to {}", pool.count, pool.size_kib, before);
  }
  if (*wanted == before) {
    return {};
  }
  TRY_VOID(host::write_text(file, fmt::format("{}\n", *wanted)));
  const uint64_t after = TRY(host::read_number(file));
  if (after < *wanted) {
    return call_error(VIR_ERR_OPERATION_FAILED,
                      "{} pages of {} KiB were wanted, the kernel found memory for {}; free memory or ask for fewer",
                      *wanted, pool.size_kib, after);
  }
  return {};
}

struct SharingField {
  const char* file;
  const char* field;
  bool wide;
  bool settable;
};
// Order of libvirt's answer.
constexpr std::array kSharing{
    SharingField{"pages_to_scan", VIR_NODE_MEMORY_SHARED_PAGES_TO_SCAN, false, true},
    SharingField{"sleep_millisecs", VIR_NODE_MEMORY_SHARED_SLEEP_MILLISECS, false, true},
    SharingField{"pages_shared", VIR_NODE_MEMORY_SHARED_PAGES_SHARED, true, false},
    SharingField{"pages_sharing", VIR_NODE_MEMORY_SHARED_PAGES_SHARING, true, false},
    SharingField{"pages_unshared", VIR_NODE_MEMORY_SHARED_PAGES_UNSHARED, true, false},
    SharingField{"pages_volatile", VIR_NODE_MEMORY_SHARED_PAGES_VOLATILE, true, false},
    SharingField{"full_scans", VIR_NODE_MEMORY_SHARED_FULL_SCANS, true, false},
    SharingField{"merge_across_nodes", VIR_NODE_MEMORY_SHARED_MERGE_ACROSS_NODES, false, true},
};

std::string sharing_file(const HostPaths& paths, const SharingField& field) {
  return fmt::format("{}/kernel/mm/ksm/{}", paths.sys, field.file);
}

}  // namespace

Answer<std::vector<NodeStat>> node_memory_stats(const HostPaths& paths, int cell) {
  const CellIds cells = cell_ids(paths);
  if (cell != VIR_NODE_MEMORY_STATS_ALL_CELLS && (cell < 0 || !there(cells, cell))) {
    return call_error(VIR_ERR_INVALID_ARG, "there is no cell {}; cells are 0 to {}, -1 stands for all", cell,
                      cells.highest());
  }
  const std::string text = TRY(meminfo(paths, cell, cells));
  std::vector<NodeStat> out{{VIR_NODE_MEMORY_STATS_TOTAL, TRY(value_of(text, "MemTotal"))},
                            {VIR_NODE_MEMORY_STATS_FREE, TRY(value_of(text, "MemFree"))}};
  if (cell == VIR_NODE_MEMORY_STATS_ALL_CELLS) {
    out.push_back({VIR_NODE_MEMORY_STATS_BUFFERS, TRY(value_of(text, "Buffers"))});
    out.push_back({VIR_NODE_MEMORY_STATS_CACHED, TRY(value_of(text, "Cached"))});
  }
  return out;
}

Answer<uint64_t> node_free_memory(const HostPaths& paths) {
  const CellIds cells = cell_ids(paths);
  uint64_t kib = 0;
  for (const uint32_t id : cells.ids) {
    kib += TRY(free_kib(paths, static_cast<int>(id), cells));
  }
  return kib * kKiB;
}

Answer<std::vector<uint64_t>> node_cells_free_memory(const HostPaths& paths, int start_cell, int max_cells) {
  const CellIds cells = cell_ids(paths);
  if (start_cell < 0 || max_cells <= 0) {
    return call_error(VIR_ERR_INVALID_ARG, "{} cells from cell {} cannot be told", max_cells, start_cell);
  }
  const int last = TRY(last_cell(cells, start_cell, static_cast<uint32_t>(max_cells)));
  std::vector<uint64_t> out;
  for (int cell = start_cell; cell <= last; ++cell) {
    out.push_back(there(cells, cell) ? TRY(free_kib(paths, cell, cells)) * kKiB : 0);
  }
  return out;
}

Answer<std::vector<uint64_t>> node_free_pages(const HostPaths& paths, std::span<const uint32_t> sizes_kib, int start_cell,
                                              uint32_t cell_count) {
  const CellIds cells = cell_ids(paths);
  const int last = TRY(last_cell(cells, start_cell, cell_count));
  std::vector<uint64_t> out;
  for (int cell = start_cell; cell <= last; ++cell) {
    if (!there(cells, cell)) {
      return call_error(VIR_ERR_OPERATION_FAILED, "cell {} is not there; virsh capabilities lists the cells", cell);
    }
    for (const uint32_t size : sizes_kib) {
      if (size == kSystemPageKib) {
        out.push_back(TRY(free_kib(paths, cell, cells)) / kSystemPageKib);
        continue;
      }
      const std::string dir = pool_dir(paths, cell, cells, size);
      if (!host::exists(dir)) {
        return no_such_pool(size, cell);
      }
      out.push_back(TRY(host::read_number(dir + "/free_hugepages")));
    }
  }
  return out;
}

Answer<int> node_alloc_pages(const HostPaths& paths, std::span<const PagePool> pools, int start_cell, uint32_t cell_count,
                             uint32_t flags) {
  if ((flags & ~uint32_t{VIR_NODE_ALLOC_PAGES_SET}) != 0) {
    return call_error(VIR_ERR_INVALID_ARG, "unsupported flags (0x{:x}) in node_alloc_pages", flags);
  }
  const CellIds cells = cell_ids(paths);
  const int last = TRY(last_cell(cells, start_cell, cell_count));
  int changed = 0;
  for (int cell = start_cell; cell <= last; ++cell) {
    for (const PagePool& pool : pools) {
      auto set = set_pool(paths, cells, cell, pool, (flags & VIR_NODE_ALLOC_PAGES_SET) == 0);
      if (!set) {
        return std::unexpected(std::move(set).error());
      }
      ++changed;
    }
  }
  return changed;
}

Answer<std::vector<NodeParameter>> node_memory_parameters(const HostPaths& paths) {
  std::vector<NodeParameter> out;
  for (const SharingField& field : kSharing) {
    const auto value = host::read_number_if_there(sharing_file(paths, field));
    if (value && field.wide) {
      out.push_back({field.field, *value});
    } else if (value) {
      out.push_back({field.field, static_cast<uint32_t>(std::min<uint64_t>(*value, UINT32_MAX))});
    }
  }
  return out;
}

Answer<void> set_node_memory_parameters(const HostPaths& paths, std::span<const NodeParameter> parameters) {
  std::vector<std::pair<std::string, uint32_t>> writes;
  for (const NodeParameter& parameter : parameters) {
    const auto found = std::find_if(kSharing.begin(), kSharing.end(),
                                    [&parameter](const SharingField& field) { return parameter.field == field.field; });
    if (found == kSharing.end() || !found->settable) {
      return call_error(VIR_ERR_INVALID_ARG, "'{}' cannot be set; {}, {} and {} can", parameter.field,
                        VIR_NODE_MEMORY_SHARED_PAGES_TO_SCAN, VIR_NODE_MEMORY_SHARED_SLEEP_MILLISECS,
                        VIR_NODE_MEMORY_SHARED_MERGE_ACROSS_NODES);
    }
    const auto* value = std::get_if<uint32_t>(&parameter.value);
    if (value == nullptr) {
      return call_error(VIR_ERR_INVALID_ARG, "'{}' must be an unsigned integer of 32 bits", parameter.field);
    }
    std::string file = sharing_file(paths, *found);
    if (!host::exists(file)) {
      return call_error(VIR_ERR_OPERATION_INVALID, "'{}' is not known to this host's kernel ({} is not there)",
                        parameter.field, file);
    }
    writes.emplace_back(std::move(file), *value);
  }
  for (const auto& [file, value] : writes) {
    TRY_VOID(host::write_text(file, fmt::format("{}\n", value)));
  }
  return {};
}

}  // namespace lodge
