// The saved state of a virtio device's transport: registers and queues.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"
#include "devices/virtio/queue_state.h"

namespace lodge {

struct VirtioTransportState {
  uint8_t status = 0;
  bool legacy = false;  // the driver speaks the 0.9 register layout
  uint64_t driver_features = 0;
  uint32_t device_feature_select = 0;
  uint32_t driver_feature_select = 0;
  uint16_t queue_select = 0;
  uint16_t config_vector = 0xFFFF;
  uint8_t generation = 0;
  uint8_t isr = 0;
  std::vector<QueueState> queues;
  friend bool operator==(const VirtioTransportState&, const VirtioTransportState&) = default;
};

template <>
struct Schema<VirtioTransportState> {
  using S = VirtioTransportState;
  static constexpr std::string_view name = "virtio-transport";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "status", &S::status),
                                            field(2, "legacy", &S::legacy),
                                            field(3, "driver-features", &S::driver_features),
                                            field(4, "device-feature-select", &S::device_feature_select),
                                            field(5, "driver-feature-select", &S::driver_feature_select),
                                            field(6, "queue-select", &S::queue_select),
                                            field(7, "config-vector", &S::config_vector),
                                            field(8, "generation", &S::generation),
                                            field(9, "isr", &S::isr),
                                            field(10, "queues", &S::queues)};
};

}  // namespace lodge
