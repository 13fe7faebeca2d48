// NetControl: the control queue's commands (virtio 1.2 section 5.1.6.5). On the loop of the first queue pair.
#pragma once

#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioNet;

class NetControl {
 public:
  explicit NetControl(VirtioNet& device) : device_(device) {}
  void kick(Virtqueue& queue);

 private:
  [[nodiscard]] bool run(const Chain& chain);
  [[nodiscard]] bool rx_mode(const Chain& chain, uint8_t command);
  [[nodiscard]] bool mac(const Chain& chain, uint8_t command);
  [[nodiscard]] bool mac_table(const Chain& chain);
  [[nodiscard]] bool vlan(const Chain& chain, uint8_t command);

  VirtioNet& device_;
};

}  // namespace lodge
