// The saved state of one virtqueue, which is also what the transport's queue registers hold.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

// One buffer of a request.
struct ChainSegment {
  uint64_t at = 0;  // guest physical address
  uint32_t length = 0;
  bool writable = false;
  friend bool operator==(const ChainSegment&, const ChainSegment&) = default;
};

// A request that was taken from the ring but not finished: the device takes it again after resume or restore. Its buffers
// are kept, since a packed ring may have reused the descriptors meanwhile.
struct PendingChain {
  uint16_t head = 0;         // split: descriptor index; packed: buffer id
  uint16_t descriptors = 0;  // packed: ring slots it occupies
  std::vector<ChainSegment> segments;
  friend bool operator==(const PendingChain&, const PendingChain&) = default;
};

struct QueueState {
  uint16_t size = 0;  // entries; the driver may lower it
  bool enabled = false;
  uint64_t descriptors = 0;  // guest physical addresses of the three areas
  uint64_t driver = 0;
  uint64_t device = 0;
  uint16_t vector = 0xFFFF;  // MSI-X vector, 0xFFFF none
  uint16_t next_avail = 0;   // split: running index; packed: ring position
  uint16_t next_used = 0;
  bool avail_wrap = true;  // packed only
  bool used_wrap = true;
  std::vector<PendingChain> pending;
  friend bool operator==(const QueueState&, const QueueState&) = default;
};

template <>
struct Schema<ChainSegment> {
  static constexpr std::string_view name = "chain-segment";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "at", &ChainSegment::at), field(2, "length", &ChainSegment::length),
                                            field(3, "writable", &ChainSegment::writable)};
};

template <>
struct Schema<PendingChain> {
  static constexpr std::string_view name = "pending-chain";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "head", &PendingChain::head), field(2, "descriptors", &PendingChain::descriptors),
                 field(3, "segments", &PendingChain::segments)};
};

template <>
struct Schema<QueueState> {
  static constexpr std::string_view name = "virtqueue";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "size", &QueueState::size),
                                            field(2, "enabled", &QueueState::enabled),
                                            field(3, "descriptors", &QueueState::descriptors),
                                            field(4, "driver", &QueueState::driver),
                                            field(5, "device", &QueueState::device),
                                            field(6, "vector", &QueueState::vector),
                                            field(7, "next-avail", &QueueState::next_avail),
                                            field(8, "next-used", &QueueState::next_used),
                                            field(9, "avail-wrap", &QueueState::avail_wrap),
                                            field(10, "used-wrap", &QueueState::used_wrap),
                                            field(11, "pending", &QueueState::pending)};
};

}  // namespace lodge
