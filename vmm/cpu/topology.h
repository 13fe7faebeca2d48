// The tree of processors: sockets, dies, cores, threads; and the APIC id of each vCPU in it. CPUID, MADT and SRAT agree
// because all of them ask here. Pure functions, any thread. (Intel SDM volume 3, "Multiple-processor management".)
#pragma once

#include <cstdint>

#include "base/result.h"

namespace lodge {

inline constexpr uint32_t kMaxVcpus = 4096;

struct Topology {
  uint32_t sockets = 1;
  uint32_t dies = 1;     // per socket
  uint32_t cores = 1;    // per die
  uint32_t threads = 1;  // per core
  friend bool operator==(const Topology&, const Topology&) = default;

  [[nodiscard]] uint64_t total() const { return uint64_t{sockets} * dies * cores * threads; }
};

struct VcpuPlace {
  uint32_t socket = 0;
  uint32_t die = 0;
  uint32_t core = 0;
  uint32_t thread = 0;
};

// Where each level's field starts in the x2APIC id; a level with one member has no bits.
struct ApicIdLayout {
  uint32_t core_shift = 0;     // bits of the thread number
  uint32_t die_shift = 0;      // + bits of the core number
  uint32_t package_shift = 0;  // + bits of the die number
};

// One socket per vCPU: what a guest gets when nothing was asked for.
[[nodiscard]] constexpr Topology default_topology(uint32_t vcpus) { return Topology{vcpus, 1, 1, 1}; }

// No level is 0, the product is `vcpus`, and every APIC id fits.
[[nodiscard]] Result<void> validate_topology(const Topology& topology, uint32_t vcpus);

[[nodiscard]] ApicIdLayout apic_id_layout(const Topology& topology);
[[nodiscard]] VcpuPlace place_of(const Topology& topology, uint32_t vcpu_index);
[[nodiscard]] uint32_t x2apic_id(const Topology& topology, uint32_t vcpu_index);

}  // namespace lodge
