#include "libvirt-driver/domains/device_counters.h"

namespace lodge {
namespace {

// The counters of one device; values that are missing are 0.
class Counters {
 public:
  Counters(const Json& stats, const std::string& alias) {
    const auto devices = stats.find("devices");
    if (devices != stats.end() && devices->is_object()) {
      const auto it = devices->find(alias);
      counters_ = it != devices->end() && it->is_object() ? &*it : nullptr;
    }
  }
  int64_t operator[](const char* name) const {
    if (counters_ == nullptr) {
      return 0;
    }
    const auto it = counters_->find(name);
    return it != counters_->end() && it->is_number() ? it->get<int64_t>() : 0;
  }

 private:
  const Json* counters_ = nullptr;
};

}  // namespace

InterfaceCounters interface_counters(const Json& stats, const std::string& alias) {
  const Counters counters(stats, alias);
  return {.rx_bytes = counters["rx-bytes"],
          .rx_packets = counters["rx-packets"],
          .rx_errors = counters["rx-errors"],
          .rx_dropped = counters["rx-dropped"],
          .tx_bytes = counters["tx-bytes"],
          .tx_packets = counters["tx-packets"],
          .tx_errors = counters["tx-errors"],
          .tx_dropped = counters["tx-dropped"]};
}

DiskCounters disk_counters(const Json& stats, const std::string& alias) {
  const Counters counters(stats, alias);
  return {.read_requests = counters["read-ops"],
          .read_bytes = counters["read-bytes"],
          .read_time = counters["read-time-ns"],
          .write_requests = counters["write-ops"],
          .write_bytes = counters["write-bytes"],
          .write_time = counters["write-time-ns"],
          .flush_requests = counters["flush-ops"],
          .flush_time = counters["flush-time-ns"],
          .errors = counters["read-errors"] + counters["write-errors"] + counters["flush-errors"]};
}

}  // namespace lodge
