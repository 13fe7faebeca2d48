#include "libvirt-driver/host/topology.h"

#include <algorithm>
#include <filesystem>

#include "base/units.h"
#include "libvirt-driver/host/files.h"

namespace lodge {
namespace {

constexpr uint32_t kSystemPageKib = kPageSize / kKiB;

std::string cpu_dir(const HostPaths& paths) { return paths.sys + "/devices/system/cpu"; }
std::string node_dir(const HostPaths& paths) { return paths.sys + "/devices/system/node"; }

// Processors by /proc/stat, for hosts whose /sys is hidden (containers).
Result<std::vector<uint32_t>> processors_of_proc(const HostPaths& paths) {
  const std::string text = TRY(host::read_text(paths.proc + "/stat"));
  std::vector<uint32_t> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (!line.starts_with("cpu")) {
      continue;
    }
    const auto id = host::number(line.substr(3, line.find(' ') - 3));
    if (id && *id <= host::kMaxIndex) {
      out.push_back(static_cast<uint32_t>(*id));
    }
  }
  if (out.empty()) {
    return fail("{}/stat: no processor is listed", paths.proc);
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<std::vector<uint32_t>> processors(const HostPaths& paths, const char* which) {
  const std::string file = cpu_dir(paths) + "/" + which;
  return host::exists(file) ? host::read_list(file) : processors_of_proc(paths);
}

HostProcessor place(const HostPaths& paths, uint32_t id) {
  const std::string dir = fmt::format("{}/cpu{}/topology/", cpu_dir(paths), id);
  // -1 stands for "not known" in some of these; every processor then is of socket, die or core 0.
  const auto get = [&dir](const char* name, uint32_t otherwise) {
    const auto value = host::read_number_if_there(dir + name);
    return value && *value <= UINT32_MAX ? static_cast<uint32_t>(*value) : otherwise;
  };
  HostProcessor out{id, get("physical_package_id", 0), get("die_id", 0), get("core_id", id), {id}};
  if (const auto list = host::read_list(dir + "thread_siblings_list"); list && !list->empty()) {
    out.siblings = *list;
  }
  return out;
}

void add_pages(const HostPaths& paths, HostCell& cell, bool numa) {
  uint64_t huge_kib = 0;
  cell.pages.push_back({kSystemPageKib, 0});
  for (const uint32_t size : host_page_sizes(paths)) {
    if (size == kSystemPageKib) {
      continue;
    }
    const std::string dir = numa ? fmt::format("{}/node{}", node_dir(paths), cell.id) : paths.sys + "/kernel/mm";
    const uint64_t count =
        host::read_number_if_there(fmt::format("{}/hugepages/hugepages-{}kB/nr_hugepages", dir, size)).value_or(0);
    cell.pages.push_back({size, count});
    huge_kib += count * size;
  }
  cell.pages[0].count = (cell.memory_kib - std::min(huge_kib, cell.memory_kib)) / kSystemPageKib;
}

Result<HostCell> read_cell(const HostPaths& paths, uint32_t id, const std::vector<uint32_t>& ids) {
  HostCell cell;
  cell.id = id;
  const std::string dir = fmt::format("{}/node{}/", node_dir(paths), id);
  const std::string meminfo = TRY(host::read_text(dir + "meminfo"));
  cell.memory_kib = host::meminfo_value(meminfo, "MemTotal").value_or(0);
  for (const uint32_t cpu : TRY(host::read_list(dir + "cpulist"))) {
    cell.processors.push_back(place(paths, cpu));
  }
  std::string distances = host::read_text_if_there(dir + "distance").value_or("");
  std::string_view rest = distances;
  for (const uint32_t other : ids) {
    rest = host::trimmed(rest);
    const auto value = host::number(rest.substr(0, rest.find(' ')));
    if (!value || *value > UINT32_MAX) {
      break;
    }
    cell.distances.emplace_back(other, static_cast<uint32_t>(*value));
    rest.remove_prefix(std::min(rest.find(' '), rest.size()));
  }
  add_pages(paths, cell, true);
  return cell;
}

}  // namespace

std::vector<uint32_t> host_page_sizes(const HostPaths& paths) {
  std::vector<uint32_t> sizes{kSystemPageKib};
  std::error_code ignored;  // no such directory: no huge pages
  for (const auto& entry : std::filesystem::directory_iterator(paths.sys + "/kernel/mm/hugepages", ignored)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with("hugepages-") && name.ends_with("kB")) {
      const auto size = host::number(std::string_view(name).substr(10, name.size() - 12));
      if (size && *size > kSystemPageKib && *size <= UINT32_MAX) {
        sizes.push_back(static_cast<uint32_t>(*size));
      }
    }
  }
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}

Answer<HostTopology> host_topology(const HostPaths& paths) {
  HostTopology out;
  out.present = TRY(processors(paths, "present"));
  out.online = TRY(processors(paths, "online"));
  if (host::exists(node_dir(paths) + "/online")) {
    out.numa = true;
    const auto ids = TRY(host::read_list(node_dir(paths) + "/online"));
    for (const uint32_t id : ids) {
      out.cells.push_back(TRY(read_cell(paths, id, ids)));
    }
  }
  if (out.cells.empty()) {
    out.numa = false;
    HostCell cell;
    cell.memory_kib = host::meminfo_value(TRY(host::read_text(paths.proc + "/meminfo")), "MemTotal").value_or(0);
    for (const uint32_t cpu : out.online) {
      cell.processors.push_back(place(paths, cpu));
    }
    add_pages(paths, cell, false);
    out.cells.push_back(std::move(cell));
  }
  return out;
}

}  // namespace lodge
