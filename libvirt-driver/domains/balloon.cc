#include "libvirt-driver/domains/balloon.h"

#include <libvirt/libvirt.h>

#include <array>

namespace lodge {
namespace {

struct Known {
  const char* name;  // the monitor's
  int tag;
  const char* bulk_name;
  uint64_t divisor;  // bytes to KiB
};
constexpr std::array kKnown{
    Known{"swap-in", VIR_DOMAIN_MEMORY_STAT_SWAP_IN, "balloon.swap_in", 1024},
    Known{"swap-out", VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, "balloon.swap_out", 1024},
    Known{"major-faults", VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, "balloon.major_fault", 1},
    Known{"minor-faults", VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT, "balloon.minor_fault", 1},
    Known{"free", VIR_DOMAIN_MEMORY_STAT_UNUSED, "balloon.unused", 1024},
    Known{"total", VIR_DOMAIN_MEMORY_STAT_AVAILABLE, "balloon.available", 1024},
    Known{"available", VIR_DOMAIN_MEMORY_STAT_USABLE, "balloon.usable", 1024},
    Known{"caches", VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, "balloon.disk_caches", 1024},
    Known{"hugetlb-allocations", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, "balloon.hugetlb_pgalloc", 1},
    Known{"hugetlb-failures", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, "balloon.hugetlb_pgfail", 1},
};

}  // namespace

std::vector<MemoryFigure> balloon_figures(const Json& balloon) {
  std::vector<MemoryFigure> figures{
      {VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, "balloon.current", integer_in<uint64_t>(balloon, "actual") / 1024}};
  const auto stats = balloon.find("stats");
  if (stats != balloon.end() && stats->is_object()) {
    for (const Known& known : kKnown) {
      const auto it = stats->find(known.name);
      if (it != stats->end() && it->is_number_unsigned()) {
        figures.push_back({known.tag, known.bulk_name, it->get<uint64_t>() / known.divisor});
      }
    }
  }
  if (const auto updated = integer_in<uint64_t>(balloon, "last-update"); updated != 0) {
    figures.push_back({VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE, "balloon.last-update", updated});
  }
  return figures;
}

}  // namespace lodge
