// The saved state of a virtio filesystem: that there is one. What the back-end knows of the guest's open files cannot be
// moved.
#pragma once

#include <string>
#include <tuple>

#include "base/state/schema.h"

namespace lodge {

struct VirtioFsState {
  std::string tag;
};

template <>
struct Schema<VirtioFsState> {
  static constexpr std::string_view name = "virtio-fs";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "tag", &VirtioFsState::tag)};
};

}  // namespace lodge
