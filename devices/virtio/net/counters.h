// What one direction of a queue pair has done. One writer (its loop), any number of readers.
#pragma once

#include <atomic>
#include <cstdint>

namespace lodge::net {

struct Counters {
  std::atomic<uint64_t> packets{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> dropped{0};
  std::atomic<uint64_t> errors{0};
  static void add(std::atomic<uint64_t>& counter, uint64_t value) {
    counter.store(counter.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  }
};

}  // namespace lodge::net
