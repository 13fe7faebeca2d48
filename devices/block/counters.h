// What a disk has done, for statistics. One writer (the queue's loop), any number of readers.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "devices/block/backend.h"

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

}  // namespace lodge
