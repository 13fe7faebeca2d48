// What cpuid.cc, cpuid_features.cc and cpuid_topology.cc share. Private to vmm/cpu; pure functions.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "vmm/cpu/cpuid.h"

namespace lodge::cpuid {

using Entries = std::vector<kvm_cpuid_entry2>;

// Single bits by leaf, for what the code itself must know.
inline constexpr uint32_t kLeaf1EcxAvx = 1U << 28;
inline constexpr uint32_t kLeaf1EcxXsave = 1U << 26;
inline constexpr uint32_t kLeaf1EcxX2Apic = 1U << 21;
inline constexpr uint32_t kLeaf1EcxTscDeadline = 1U << 24;
inline constexpr uint32_t kLeaf1EcxHypervisor = 1U << 31;
inline constexpr uint32_t kLeaf1EdxApic = 1U << 9;
inline constexpr uint32_t kLeaf1EdxHtt = 1U << 28;
inline constexpr uint32_t kLeaf7EbxMpx = 1U << 14;
inline constexpr uint32_t kLeaf7EbxAvx512f = 1U << 16;
inline constexpr uint32_t kLeaf7EcxPku = 1U << 3;
inline constexpr uint32_t kLeaf7EdxAmxTile = 1U << 24;
inline constexpr uint32_t kExtended1EcxCmpLegacy = 1U << 1;
inline constexpr uint32_t kExtended1EcxSvm = 1U << 2;
inline constexpr uint32_t kExtended1EcxTopoExt = 1U << 22;

[[nodiscard]] kvm_cpuid_entry2* find(Entries& entries, uint32_t leaf, uint32_t subleaf = 0);
[[nodiscard]] const kvm_cpuid_entry2* find(const Entries& entries, uint32_t leaf, uint32_t subleaf = 0);
// The entry, made empty if there is none. Invalidates pointers into `entries`.
kvm_cpuid_entry2& obtain(Entries& entries, uint32_t leaf, uint32_t subleaf = 0);
void remove(Entries& entries, uint32_t leaf);

// AMD and Hygon share their leaves.
[[nodiscard]] bool is_amd(const Entries& entries);

struct Resolved {
  Entries entries;
  std::vector<kvm_msr_entry> msrs;
};
// The features of the wished CPU in a table; the errors about missing ones come from here.
[[nodiscard]] Result<Resolved> resolve_features(const CpuConfig& config, const HostCpu& host, const CpuMap* map);

// What differs per vCPU, and all that depends on the topology.
void apply_topology(Entries& entries, const Topology& topology, uint32_t vcpu_index);

}  // namespace lodge::cpuid
