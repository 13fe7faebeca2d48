// UsbController: what all controllers do with the devices at their ports, and what the machine knows of them. On control,
// but for what is said to be the loop's.
#pragma once

#include <cstdint>
#include <functional>
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
  UsbController() = default;
  virtual ~UsbController() = default;
  UsbController(const UsbController&) = delete;
  UsbController& operator=(const UsbController&) = delete;

  // The devices and their ports, for queries.
  [[nodiscard]] const std::vector<UsbPlug>& devices() const { return plugs_; }

 protected:
  // Set-up: the device is at the port from now on; `side` is the controller's side of it. Errors: there is no such port, or
  // it is taken.
  [[nodiscard]] Result<void> plug_in(UsbPlug plug, uint32_t ports, UsbPort& side);
  // Before the sides go, which devices may wake until then.
  void unplug_devices();
  // The loop's: `done` runs once nothing of any device is in flight.
  void quiesce_devices(const std::function<void()>& done);
  void resume_devices();  // the loop's
  void reset_devices();
  void save_devices(StateWriter& out) const;

 private:
  std::vector<UsbPlug> plugs_;
};

}  // namespace lodge
