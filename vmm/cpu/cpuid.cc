#include "vmm/cpu/cpuid.h"

#include <algorithm>
#include <numeric>

#include "vmm/cpu/cpuid_parts.h"

namespace lodge {
namespace cpuid {
namespace {

bool has_subleaves(uint32_t leaf) {
  switch (leaf) {
    case 4:
    case 7:
    case 0xb:
    case 0xd:
    case 0xf:
    case 0x10:
    case 0x12:
    case 0x14:
    case 0x17:
    case 0x18:
    case 0x1d:
    case 0x1e:
    case 0x1f:
    case 0x24:
    case 0x8000001d: return true;
    default: return false;
  }
}

constexpr uint32_t kHypervisorBase = 0x40000000;
constexpr uint32_t kHypervisorFeatures = kHypervisorBase + 1;
constexpr uint32_t kHypervisorTiming = kHypervisorBase + 0x10;
constexpr uint32_t kExtendedBase = 0x80000000;
constexpr uint32_t kFeatureMsiExtDestId = 1U << 15;
constexpr uint32_t kApicBusKhz = 1000000;  // KVM's in-kernel APIC timer counts nanoseconds

bool has(const Entries& entries, uint32_t leaf, uint32_t kvm_cpuid_entry2::* reg, uint32_t bit) {
  const kvm_cpuid_entry2* entry = find(entries, leaf);
  return entry != nullptr && (entry->*reg & bit) != 0;
}

// XCR0 components that the guest's features need. Components without a feature here follow the host.
uint64_t component_mask(const Entries& entries) {
  constexpr uint64_t kAvx = 1U << 2;
  constexpr uint64_t kMpx = 3U << 3;
  constexpr uint64_t kAvx512 = 7U << 5;
  constexpr uint64_t kPku = 1U << 9;
  constexpr uint64_t kAmx = 3U << 17;
  uint64_t mask = ~uint64_t{0};
  mask &= has(entries, 1, &kvm_cpuid_entry2::ecx, kLeaf1EcxAvx) ? mask : ~kAvx;
  mask &= has(entries, 7, &kvm_cpuid_entry2::ebx, kLeaf7EbxMpx) ? mask : ~kMpx;
  mask &= has(entries, 7, &kvm_cpuid_entry2::ebx, kLeaf7EbxAvx512f) ? mask : ~kAvx512;
  mask &= has(entries, 7, &kvm_cpuid_entry2::ecx, kLeaf7EcxPku) ? mask : ~kPku;
  mask &= has(entries, 7, &kvm_cpuid_entry2::edx, kLeaf7EdxAmxTile) ? mask : ~kAmx;
  return mask;
}

// Leaf 0xd: sizes of the components that are left.
void finish_xsave(Entries& entries) {
  constexpr uint32_t kXsaves = 1U << 3;
  constexpr uint32_t kLegacyAndHeader = 576;
  if (!has(entries, 1, &kvm_cpuid_entry2::ecx, kLeaf1EcxXsave) || find(entries, 0xd) == nullptr) {
    remove(entries, 0xd);
    return;
  }
  const uint64_t mask = component_mask(entries);
  kvm_cpuid_entry2& user = *find(entries, 0xd);
  user.eax &= static_cast<uint32_t>(mask);
  user.edx &= static_cast<uint32_t>(mask >> 32);
  const uint64_t user_components = uint64_t{user.edx} << 32 | user.eax;
  uint64_t supervisor_components = 0;
  if (kvm_cpuid_entry2* extended = find(entries, 0xd, 1)) {
    const bool supervisor = (extended->eax & kXsaves) != 0;
    extended->ecx = supervisor ? extended->ecx & static_cast<uint32_t>(mask) : 0;
    extended->edx = supervisor ? extended->edx : 0;
    supervisor_components = uint64_t{extended->edx} << 32 | extended->ecx;
  }
  uint32_t size = kLegacyAndHeader;
  std::erase_if(entries, [&](const kvm_cpuid_entry2& entry) {
    if (entry.function != 0xd || entry.index < 2) {
      return false;
    }
    const uint64_t bit = entry.index < 64 ? uint64_t{1} << entry.index : 0;
    if ((user_components & bit) != 0) {
      size = std::max(size, entry.eax + entry.ebx);
    }
    return ((user_components | supervisor_components) & bit) == 0;
  });
  kvm_cpuid_entry2& total = *find(entries, 0xd);
  total.ebx = size;  // KVM keeps it in step with XCR0
  total.ecx = size;
}

// Leaves 0x15 and 0x16: only where the processor's maker has them, and only when exact in the arithmetic guests use:
// crystal kHz (our APIC timer's) times the numerator in 32 bits.
void set_tsc_frequency(Entries& entries, uint64_t tsc_khz, bool intel) {
  remove(entries, 0x15);
  remove(entries, 0x16);
  if (tsc_khz == 0 || !intel) {
    return;
  }
  const uint64_t divisor = std::gcd(tsc_khz, uint64_t{kApicBusKhz});
  const uint64_t numerator = tsc_khz / divisor;
  if (numerator * kApicBusKhz > UINT32_MAX) {
    return;
  }
  kvm_cpuid_entry2& ratio = obtain(entries, 0x15);
  ratio.eax = static_cast<uint32_t>(kApicBusKhz / divisor);
  ratio.ebx = static_cast<uint32_t>(numerator);
  ratio.ecx = kApicBusKhz * 1000;
  kvm_cpuid_entry2& base = obtain(entries, 0x16);
  base.eax = base.ebx = static_cast<uint32_t>(tsc_khz / 1000);
  base.ecx = kApicBusKhz / 1000;
}

void set_hypervisor_leaves(Entries& entries, const CpuConfig& config, const HostCpu& host) {
  std::erase_if(entries, [](const kvm_cpuid_entry2& entry) { return entry.function >> 28 == 4; });
  if (config.hide_hypervisor) {
    return;
  }
  const bool timing = config.tsc_khz != 0 && config.tsc_khz <= UINT32_MAX;
  kvm_cpuid_entry2& base = obtain(entries, kHypervisorBase);
  base.eax = timing ? kHypervisorTiming : kHypervisorFeatures;
  base.ebx = 0x4b4d564b;  // "KVMKVMKVM"
  base.ecx = 0x564b4d56;
  base.edx = 0x0000004d;
  const kvm_cpuid_entry2* offered = find(host.supported, kHypervisorFeatures);
  const uint32_t features = config.kvm_pv && offered != nullptr ? offered->eax : 0;
  obtain(entries, kHypervisorFeatures).eax = features | (config.msi_ext_dest_id ? kFeatureMsiExtDestId : 0);
  if (timing) {
    kvm_cpuid_entry2& leaf = obtain(entries, kHypervisorTiming);
    leaf.eax = static_cast<uint32_t>(config.tsc_khz);
    leaf.ebx = kApicBusKhz;
  }
}

// Leaf 0 and 0x80000000: the highest leaf there is; a named model shows no more, the host's own table is only raised.
void set_limits(Entries& entries, bool custom) {
  uint32_t basic = 0;
  uint32_t extended = kExtendedBase;
  for (const kvm_cpuid_entry2& entry : entries) {
    // 0x8000001e is all zero for the first vCPU of a plain topology, but not for the others.
    const bool content = (entry.eax | entry.ebx | entry.ecx | entry.edx) != 0 || entry.function == 0x8000001e;
    if (entry.function < kHypervisorBase && content) {
      basic = std::max(basic, entry.function);
    } else if (entry.function >> 16 == kExtendedBase >> 16 && content) {
      extended = std::max(extended, entry.function);
    }
  }
  kvm_cpuid_entry2& zero = obtain(entries, 0);
  zero.eax = custom ? basic : std::max(zero.eax, basic);
  kvm_cpuid_entry2& first_extended = obtain(entries, kExtendedBase);
  first_extended.eax = custom ? extended : std::max(first_extended.eax, extended);
}

}  // namespace

kvm_cpuid_entry2* find(Entries& entries, uint32_t leaf, uint32_t subleaf) {
  const auto found = std::find_if(entries.begin(), entries.end(), [=](const kvm_cpuid_entry2& entry) {
    return entry.function == leaf && entry.index == subleaf;
  });
  return found == entries.end() ? nullptr : &*found;
}

const kvm_cpuid_entry2* find(const Entries& entries, uint32_t leaf, uint32_t subleaf) {
  const auto found = std::find_if(entries.begin(), entries.end(), [=](const kvm_cpuid_entry2& entry) {
    return entry.function == leaf && entry.index == subleaf;
  });
  return found == entries.end() ? nullptr : &*found;
}

kvm_cpuid_entry2& obtain(Entries& entries, uint32_t leaf, uint32_t subleaf) {
  if (kvm_cpuid_entry2* entry = find(entries, leaf, subleaf)) {
    return *entry;
  }
  kvm_cpuid_entry2 entry{};
  entry.function = leaf;
  entry.index = subleaf;
  entry.flags = has_subleaves(leaf) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
  return entries.emplace_back(entry);
}

void remove(Entries& entries, uint32_t leaf) {
  std::erase_if(entries, [leaf](const kvm_cpuid_entry2& entry) { return entry.function == leaf; });
}

bool is_amd(const Entries& entries) {
  constexpr uint32_t kAuth = 0x68747541;  // "Auth"enticAMD
  constexpr uint32_t kHygo = 0x6f677948;  // "Hygo"nGenuine
  const kvm_cpuid_entry2* zero = find(entries, 0);
  return zero != nullptr && (zero->ebx == kAuth || zero->ebx == kHygo);
}

}  // namespace cpuid

Result<CpuidTable> CpuidTable::create(const CpuConfig& config, const HostCpu& host, const CpuMap* map) {
  if (config.topology.total() > kMaxVcpus) {
    return fail("CPU topology has {} processors; {} at most", config.topology.total(), kMaxVcpus);
  }
  TRY_VOID(validate_topology(config.topology, static_cast<uint32_t>(config.topology.total())));
  auto resolved = TRY(cpuid::resolve_features(config, host, map));
  CpuidTable table;
  table.entries_ = std::move(resolved.entries);
  table.msrs_ = std::move(resolved.msrs);
  table.topology_ = config.topology;
  cpuid::Entries& entries = table.entries_;
  cpuid::remove(entries, 0x80000026);  // AMD's newer topology leaf; 0xb says the same
  cpuid::finish_xsave(entries);
  cpuid::set_tsc_frequency(entries, config.tsc_khz, !cpuid::is_amd(entries));
  cpuid::set_hypervisor_leaves(entries, config, host);
  cpuid::apply_topology(entries, config.topology, 0);
  cpuid::set_limits(entries, config.mode == CpuMode::custom);
  return table;
}

std::vector<kvm_cpuid_entry2> CpuidTable::for_vcpu(uint32_t vcpu_index) const {
  cpuid::Entries entries = entries_;
  cpuid::apply_topology(entries, topology_, vcpu_index);
  return entries;
}

Result<std::vector<kvm_cpuid_entry2>> build_cpuid(const CpuConfig& config, const HostCpu& host, const CpuMap* map,
                                                  uint32_t vcpu_index) {
  if (vcpu_index >= config.topology.total()) {
    return fail("vCPU {} is outside a topology of {}", vcpu_index, config.topology.total());
  }
  return TRY(CpuidTable::create(config, host, map)).for_vcpu(vcpu_index);
}

}  // namespace lodge
