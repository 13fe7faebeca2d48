// <cputune>, <memtune>, <blkiotune> and <numatune>: from a definition to the guest's control group.
#pragma once

#include "libvirt-driver/domains/domain.h"

namespace lodge {

// What concerns memory: before the monitor allocates any, and after a change.
[[nodiscard]] Answer<void> apply_memory_tuning(const DomainConfig& live, const Cgroup& cgroup);
// The rest: once the monitor's threads are there, and after a change.
[[nodiscard]] Answer<void> apply_tuning(const DomainConfig& live, const Run& run);

}  // namespace lodge
