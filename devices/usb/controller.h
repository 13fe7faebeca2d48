// UsbController: what all controllers do with the devices at their ports, and what the machine knows of them. On control,
// but for what is said to be the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/mutex.h"
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

  // The devices and their ports, for queries. Any thread.
  [[nodiscard]] std::vector<UsbPlug> devices() const;
  // A device comes, while the guest runs or not; the guest sees that its port has something. Errors: there is no such port,
  // or it is taken; the device is too fast for the controller.
  [[nodiscard]] Result<void> add_device(const UsbPlug& plug);
  // A device goes: from now on its port is empty, the guest's transfers find nobody, and nothing of it is saved. `done` runs
  // on the loop once nothing of the device is in flight; it may then be destroyed. Error: there is no such device.
  [[nodiscard]] Result<std::shared_ptr<UsbDevice>> remove_device(std::string_view id, const std::function<void()>& done);

 protected:
  // The controller's side of the port that the plug is for, which there is. Error: the device cannot be there.
  [[nodiscard]] virtual Result<UsbPort*> side_of(const UsbPlug& plug) = 0;
  [[nodiscard]] virtual uint32_t port_count() const = 0;
  // The guest is told; the device resumes if the machine runs.
  virtual void connect(const UsbPlug& plug) = 0;
  // The device is not called any more, and the guest is told.
  virtual void disconnect(const UsbPlug& plug) = 0;

  // Set-up: the device is at the port from now on. Errors: as add_device().
  [[nodiscard]] Result<void> plug_in(UsbPlug plug);
  // Before the sides go, which devices may wake until then.
  void unplug_devices();
  // The loop's: `done` runs once nothing of any device is in flight, and of none that was taken out.
  void quiesce_devices(const std::function<void()>& done);
  void resume_devices();  // the loop's
  void reset_devices();
  void save_devices(StateWriter& out) const;

 private:
  mutable Mutex plugs_mutex_;  // held for a look at the lists; comes after the controller's own
  std::vector<UsbPlug> plugs_ GUARDED_BY(plugs_mutex_);
  std::vector<std::shared_ptr<UsbDevice>> leaving_ GUARDED_BY(plugs_mutex_);  // something of them may be in flight
};

}  // namespace lodge
