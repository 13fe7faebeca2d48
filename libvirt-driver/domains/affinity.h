// Which host processors the threads of a guest may use.
#pragma once

#include <cstdint>
#include <vector>

#include "libvirt-driver/domains/domain.h"

namespace lodge {

// Bit i of byte i/8 is processor i, as clients send it.
using CpuBitmap = std::vector<uint8_t>;

[[nodiscard]] CpuBitmap to_bitmap(const IdSet& cpus, size_t bytes);
[[nodiscard]] IdSet to_set(std::span<const uint8_t> bitmap);
// All of the host's processors that are there.
[[nodiscard]] uint32_t host_cpu_count();

// Pins a thread that threads.h knows to be the guest's. Error: SYSTEM_ERROR naming thread and set.
[[nodiscard]] Answer<void> pin_thread(pid_t thread, const IdSet& cpus);
[[nodiscard]] Answer<IdSet> thread_cpus(pid_t thread);

// <vcpu cpuset=>, <cputune> of a guest whose monitor is there.
[[nodiscard]] Answer<void> apply_affinity(const DomainConfig& live, Run& run);

// What query-chardev says of terminals, into the live definition.
void take_terminals(DomainConfig& live, const Json& devices);

}  // namespace lodge
