// UsbController: what the machine knows of a controller, whichever kind it is.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "devices/usb/device.h"

namespace lodge {

struct UsbPlug {
  uint32_t port = 0;  // from 1
  std::shared_ptr<UsbDevice> device;
};

class UsbController {
 public:
  virtual ~UsbController() = default;
  // The devices and their ports, for queries; on control.
  [[nodiscard]] virtual const std::vector<UsbPlug>& devices() const = 0;
};

}  // namespace lodge
