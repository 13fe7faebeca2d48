#include "vmm/cpu/topology.h"

#include <bit>

namespace lodge {
namespace {

uint32_t bits_for(uint32_t members) { return static_cast<uint32_t>(std::bit_width(members - 1)); }

}  // namespace

Result<void> validate_topology(const Topology& topology, uint32_t vcpus) {
  if (vcpus == 0 || vcpus > kMaxVcpus) {
    return fail("{} vCPUs: the count must be between 1 and {}", vcpus, kMaxVcpus);
  }
  const auto usable = [](uint32_t members) { return members >= 1 && members <= kMaxVcpus; };
  if (!usable(topology.sockets) || !usable(topology.dies) || !usable(topology.cores) || !usable(topology.threads)) {
    return fail("CPU topology {} sockets x {} dies x {} cores x {} threads: each must be between 1 and {}", topology.sockets,
                topology.dies, topology.cores, topology.threads, kMaxVcpus);
  }
  if (topology.total() != vcpus) {
    return fail(
        "CPU topology {} sockets x {} dies x {} cores x {} threads makes {} vCPUs, but {} are configured; make them equal",
        topology.sockets, topology.dies, topology.cores, topology.threads, topology.total(), vcpus);
  }
  // Every count is at most 4096 and so is the product; each level wastes less than one bit, so all ids fit in 16 bits.
  return {};
}

ApicIdLayout apic_id_layout(const Topology& topology) {
  ApicIdLayout layout;
  layout.core_shift = bits_for(topology.threads);
  layout.die_shift = layout.core_shift + bits_for(topology.cores);
  layout.package_shift = layout.die_shift + bits_for(topology.dies);
  return layout;
}

VcpuPlace place_of(const Topology& topology, uint32_t vcpu_index) {
  VcpuPlace place;
  place.thread = vcpu_index % topology.threads;
  vcpu_index /= topology.threads;
  place.core = vcpu_index % topology.cores;
  vcpu_index /= topology.cores;
  place.die = vcpu_index % topology.dies;
  place.socket = vcpu_index / topology.dies;
  return place;
}

uint32_t x2apic_id(const Topology& topology, uint32_t vcpu_index) {
  const ApicIdLayout layout = apic_id_layout(topology);
  const VcpuPlace place = place_of(topology, vcpu_index);
  return place.socket << layout.package_shift | place.die << layout.die_shift | place.core << layout.core_shift |
         place.thread;
}

}  // namespace lodge
