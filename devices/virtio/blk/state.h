// The saved state of a virtio disk, beyond its queues.
#pragma once

#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct BlkState {
  uint64_t capacity = 0;    // bytes the guest was shown
  bool write_cache = true;  // the guest's choice in the config space
  bool write_cache_set = false;
};

template <>
struct Schema<BlkState> {
  static constexpr std::string_view name = "virtio-blk";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "capacity", &BlkState::capacity), field(2, "write-cache", &BlkState::write_cache),
                 field(3, "write-cache-set", &BlkState::write_cache_set)};
};

}  // namespace lodge
