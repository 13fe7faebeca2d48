// Counters of devices out of what a monitor's query-stats says. Pure functions, any thread.
#pragma once

#include "libvirt-driver/domains/monitor.h"

namespace lodge {

struct InterfaceCounters {  // from the guest's point of view
  int64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  int64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
[[nodiscard]] InterfaceCounters interface_counters(const Json& stats, const std::string& alias);

struct DiskCounters {  // times in ns
  int64_t read_requests = 0, read_bytes = 0, read_time = 0;
  int64_t write_requests = 0, write_bytes = 0, write_time = 0;
  int64_t flush_requests = 0, flush_time = 0;
  int64_t errors = 0;
};
[[nodiscard]] DiskCounters disk_counters(const Json& stats, const std::string& alias);

}  // namespace lodge
