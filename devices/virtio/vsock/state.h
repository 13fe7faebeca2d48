// The saved state of a vsock device: the address that the guest had.
#pragma once

#include <cstdint>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct VsockState {
  uint64_t cid = 0;
};

template <>
struct Schema<VsockState> {
  static constexpr std::string_view name = "virtio-vsock";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "cid", &VsockState::cid)};
};

}  // namespace lodge
