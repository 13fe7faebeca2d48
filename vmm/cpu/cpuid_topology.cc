// Leaves that tell APIC ids and who shares what: 1, 4, 0xb, 0x1f, 0x80000008, 0x8000001d, 0x8000001e.
#include <algorithm>

#include "vmm/cpu/cpuid_parts.h"

namespace lodge::cpuid {
namespace {

constexpr uint32_t kLevelThread = 1;
constexpr uint32_t kLevelCore = 2;
constexpr uint32_t kLevelDie = 5;

struct Level {
  uint32_t shift;
  uint64_t processors;
  uint32_t type;
};

// Leaf 0xb and 0x1f have the same form: one subleaf a level, then an empty one.
void write_levels(Entries& entries, uint32_t leaf, const std::vector<Level>& levels, uint32_t id) {
  remove(entries, leaf);
  for (uint32_t i = 0; i <= levels.size(); ++i) {
    kvm_cpuid_entry2& entry = obtain(entries, leaf, i);
    entry.ecx = i;
    entry.edx = id;
    if (i < levels.size()) {
      entry.eax = levels[i].shift;
      entry.ebx = static_cast<uint32_t>(levels[i].processors);
      entry.ecx |= levels[i].type << 8;
    }
  }
}

// Cache descriptors (leaf 4 and 0x8000001d): how many ids share each. Ids of a level are contiguous and a power of two.
void share_caches(Entries& entries, uint32_t leaf, const ApicIdLayout& layout) {
  constexpr uint32_t kTypeMask = 0x1f;
  constexpr uint32_t kSharingMax = 0xfff;
  for (kvm_cpuid_entry2& entry : entries) {
    if (entry.function != leaf || (entry.eax & kTypeMask) == 0) {
      continue;
    }
    const uint32_t level = entry.eax >> 5 & 7;
    const uint32_t shift = level <= 2 ? layout.core_shift : layout.die_shift;
    const uint32_t sharing = std::min((1U << shift) - 1, kSharingMax);
    entry.eax = (entry.eax & 0x3fff) | sharing << 14;
    if (leaf == 4) {
      const uint32_t cores = (1U << (layout.package_shift - layout.core_shift)) - 1;
      entry.eax |= std::min(cores, 63U) << 26;
    }
  }
}

void apply_amd(Entries& entries, const Topology& topology, uint32_t vcpu_index, const ApicIdLayout& layout, uint32_t id) {
  const uint64_t per_package = topology.total() / topology.sockets;
  kvm_cpuid_entry2* features = find(entries, 0x80000001);
  if (features != nullptr && topology.threads > 1) {
    features->ecx |= kExtended1EcxTopoExt;  // without it no guest looks for threads, whatever the model
  }
  const bool topology_extensions = features != nullptr && (features->ecx & kExtended1EcxTopoExt) != 0;
  if (features != nullptr) {
    features->ecx &= ~kExtended1EcxCmpLegacy;
    features->ecx |= per_package > 1 ? kExtended1EcxCmpLegacy : 0;
  }
  if (kvm_cpuid_entry2* sizes = find(entries, 0x80000008)) {
    sizes->ecx = static_cast<uint32_t>(std::min<uint64_t>(per_package - 1, 0xff)) | std::min(layout.package_shift, 15U)
                                                                                        << 12;
  }
  remove(entries, 0x8000001e);
  if (!topology_extensions) {
    remove(entries, 0x8000001d);
    return;
  }
  share_caches(entries, 0x8000001d, layout);
  const VcpuPlace place = place_of(topology, vcpu_index);
  const uint32_t core = place.die * topology.cores + place.core;
  kvm_cpuid_entry2& unit = obtain(entries, 0x8000001e);
  unit.eax = id;
  unit.ebx = (core & 0xff) | std::min(topology.threads - 1, 0xffU) << 8;
  unit.ecx = ((place.socket * topology.dies + place.die) & 0xff) | std::min(topology.dies - 1, 7U) << 8;
}

}  // namespace

void apply_topology(Entries& entries, const Topology& topology, uint32_t vcpu_index) {
  const ApicIdLayout layout = apic_id_layout(topology);
  const uint32_t id = x2apic_id(topology, vcpu_index);
  const uint64_t per_package = topology.total() / topology.sockets;
  kvm_cpuid_entry2& first = obtain(entries, 1);
  const uint32_t logical = std::min(1U << layout.package_shift, 255U);
  first.ebx = (first.ebx & 0xffff) | logical << 16 | id << 24;
  first.edx &= ~kLeaf1EdxHtt;
  first.edx |= per_package > 1 ? kLeaf1EdxHtt : 0;

  const uint64_t per_die = uint64_t{topology.cores} * topology.threads;
  write_levels(entries, 0xb,
               {{layout.core_shift, topology.threads, kLevelThread}, {layout.package_shift, per_package, kLevelCore}}, id);
  remove(entries, 0x1f);
  if (topology.dies > 1) {
    write_levels(entries, 0x1f,
                 {{layout.core_shift, topology.threads, kLevelThread},
                  {layout.die_shift, per_die, kLevelCore},
                  {layout.package_shift, per_package, kLevelDie}},
                 id);
  }
  if (is_amd(entries)) {
    apply_amd(entries, topology, vcpu_index, layout, id);
  } else {
    share_caches(entries, 4, layout);
    if (kvm_cpuid_entry2* sizes = find(entries, 0x80000008)) {
      sizes->ecx = 0;
    }
  }
}

}  // namespace lodge::cpuid
