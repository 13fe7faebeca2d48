// What a disk has done, for statistics. One writer (the queue's loop), any number of readers.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "devices/block/backend.h"
#include "devices/core/device.h"

namespace lodge {

class BlockCounters {
 public:
  struct Kind {
    std::atomic<uint64_t> ops{0};
    std::atomic<uint64_t> bytes{0};
    std::atomic<uint64_t> errors{0};
    std::atomic<uint64_t> nanoseconds{0};
  };
  // Discard and write-zeroes share a row.
  static constexpr size_t kKinds = 4;
  [[nodiscard]] static constexpr size_t row(BlockRequest::Kind kind) {
    switch (kind) {
      case BlockRequest::Kind::read: return 0;
      case BlockRequest::Kind::write: return 1;
      case BlockRequest::Kind::flush: return 2;
      default: return 3;
    }
  }
  void count(BlockRequest::Kind kind, uint64_t bytes, bool failed, std::chrono::nanoseconds took) {
    Kind& entry = kinds_[row(kind)];
    add(entry.ops, 1);
    add(failed ? entry.errors : entry.bytes, failed ? 1 : bytes);
    add(entry.nanoseconds, static_cast<uint64_t>(took.count()));
  }
  [[nodiscard]] const Kind& at(size_t row) const { return kinds_[row]; }

 private:
  static void add(std::atomic<uint64_t>& counter, uint64_t value) {  // one writer: no locked instruction
    counter.store(counter.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  }
  std::array<Kind, kKinds> kinds_;
};

// Names and values for query-stats.
inline std::vector<Counter> counter_list(std::span<const BlockCounters* const> queues, uint64_t mistakes) {
  static constexpr std::string_view kNames[BlockCounters::kKinds][4] = {
      {"read-ops", "read-bytes", "read-errors", "read-time-ns"},
      {"write-ops", "write-bytes", "write-errors", "write-time-ns"},
      {"flush-ops", "flush-bytes", "flush-errors", "flush-time-ns"},
      {"discard-ops", "discard-bytes", "discard-errors", "discard-time-ns"},
  };
  std::vector<Counter> result;
  for (size_t row = 0; row < BlockCounters::kKinds; ++row) {
    uint64_t sums[4] = {};
    for (const BlockCounters* queue : queues) {
      const BlockCounters::Kind& kind = queue->at(row);
      sums[0] += kind.ops.load(std::memory_order_relaxed);
      sums[1] += kind.bytes.load(std::memory_order_relaxed);
      sums[2] += kind.errors.load(std::memory_order_relaxed);
      sums[3] += kind.nanoseconds.load(std::memory_order_relaxed);
    }
    for (size_t i = 0; i < 4; ++i) {
      result.push_back({kNames[row][i], sums[i]});
    }
  }
  result.push_back({"guest-mistakes", mistakes});
  return result;
}

}  // namespace lodge
