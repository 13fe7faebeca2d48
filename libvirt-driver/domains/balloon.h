// What a monitor's query-balloon says, in libvirt's terms. Pure functions, any thread.
#pragma once

#include <string>
#include <vector>

#include "libvirt-driver/domains/monitor.h"

namespace lodge {

struct MemoryFigure {
  int tag;                // VIR_DOMAIN_MEMORY_STAT_*
  const char* bulk_name;  // in bulk statistics: "balloon.unused"
  uint64_t value;         // KiB, but faults and times
};
[[nodiscard]] std::vector<MemoryFigure> balloon_figures(const Json& balloon);

}  // namespace lodge
