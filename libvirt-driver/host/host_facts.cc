// Gathers what capabilities say of the host.
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "libvirt-driver/host/capabilities.h"
#include "libvirt-driver/host/files.h"

namespace lodge {
namespace {

// "32768K", "1M" in KiB; 0 for anything else.
uint64_t cache_size(std::string_view text) {
  uint64_t factor = 1;
  if (text.ends_with('M')) {
    factor = 1024;
  } else if (!text.ends_with('K')) {
    return 0;
  }
  text.remove_suffix(1);
  return host::number(text).value_or(0) * factor;
}

std::string cache_type(std::string_view kernel) {
  return kernel == "Data" ? "data" : kernel == "Instruction" ? "code" : "both";
}

// Caches of level 3, as libvirt tells them; each once.
std::vector<HostCache> caches(const HostPaths& paths, const std::vector<uint32_t>& online) {
  std::vector<HostCache> out;
  for (const uint32_t cpu : online) {
    for (int index = 0; index < 16; ++index) {
      const std::string dir = fmt::format("{}/devices/system/cpu/cpu{}/cache/index{}/", paths.sys, cpu, index);
      const auto level = host::read_number_if_there(dir + "level");
      if (!level) {
        break;
      }
      HostCache cache;
      cache.level = static_cast<uint32_t>(std::min<uint64_t>(*level, 255));
      if (cache.level < 3) {
        continue;
      }
      cache.id = static_cast<uint32_t>(std::min<uint64_t>(host::read_number_if_there(dir + "id").value_or(0), UINT32_MAX));
      cache.type = cache_type(host::read_text_if_there(dir + "type").value_or(""));
      cache.size_kib = cache_size(host::read_text_if_there(dir + "size").value_or(""));
      cache.cpus = host::read_list(dir + "shared_cpu_list").value_or(std::vector<uint32_t>{cpu});
      const bool known = std::any_of(out.begin(), out.end(), [&cache](const HostCache& other) {
        return other.level == cache.level && other.id == cache.id && other.type == cache.type;
      });
      if (!known && cache.size_kib != 0) {
        out.push_back(std::move(cache));
      }
    }
  }
  return out;
}

uint32_t microcode(const HostPaths& paths) {
  const std::string text = host::read_text_if_there(paths.proc + "/cpuinfo").value_or("");
  const size_t at = text.find("\nmicrocode");
  const size_t digits = at == std::string::npos ? at : text.find("0x", at + 1);
  if (digits == std::string::npos || digits > text.find('\n', at + 1)) {
    return 0;
  }
  uint32_t value = 0;
  std::from_chars(text.data() + digits + 2, text.data() + text.size(), value, 16);
  return value;
}

bool has_iommu(const HostPaths& paths) {
  std::error_code error;
  const std::filesystem::directory_iterator groups(paths.sys + "/kernel/iommu_groups", error);
  return !error && groups != std::filesystem::directory_iterator();
}

}  // namespace

Answer<HostFacts> host_facts(const HostPaths& paths, const HostUuid& uuid, const CpuModels& models,
                             const CpuidSource& processor, const CpuidSource& kvm) {
  HostFacts out;
  out.uuid = uuid;
  out.node = TRY(node_info(paths));
  out.topology = TRY(host_topology(paths));
  out.caches = caches(paths, out.topology.online);
  out.page_sizes_kib = host_page_sizes(paths);
  out.iommu = has_iommu(paths);
  out.microcode = microcode(paths);

  const CpuidData data = TRY(processor());
  const CpuFacts facts = models.facts(data);
  out.cpu_vendor = facts.vendor;
  out.cpu_signature = facts.signature;
  if (const auto decoded = models.decode(facts, CpuModels::Purpose::host)) {
    out.cpu_model = decoded->model->name;
    out.cpu_features = models.names(decoded->added);
  }
  if (const CpuidLeaf* sizes = data.find(0x80000008)) {
    out.physical_bits = sizes->eax & 0xff;
  }
  if (const auto offered = kvm()) {
    out.offered = models.facts(*offered);
    const auto constant = models.feature("invtsc");
    if (constant && facts.features[*constant]) {
      out.tsc_hz = offered->tsc_hz;
      out.tsc_scaling = offered->tsc_scaling;
    }
  }
  return out;
}

}  // namespace lodge
