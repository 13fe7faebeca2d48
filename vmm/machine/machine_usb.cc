// USB devices that come and go while the guest runs.
//
// The guest is not asked: a device that goes is out of its port, the device list and the configuration at once. Once nothing
// of it is in flight it is destroyed, and once the I/O loops have let go of its descriptors the event is told.
#include <algorithm>

#include "vmm/config/complete.h"
#include "vmm/machine/device_specs.h"
#include "vmm/machine/machine.h"

namespace lodge {

void Machine::add_usb_device(UsbDeviceSettings device, Done done) {
  enqueue([this, device = std::move(device), done = std::move(done)](const auto& next) {
    done(plug_usb_hid(device));
    next();
  });
}

// complete() would have one come along.
Result<void> Machine::check_usb(std::string_view id) const {
  if (usb_ == nullptr) {
    return fail("USB device '{}': the guest has no USB controller, which cannot come while it runs; start it with --usb",
                id);
  }
  return {};
}

Result<void> Machine::plug_usb_disk(DiskSettings& disk, Fd image, MachineConfig& wanted) {
  const auto on_error = [this](const BlockErrorEvent& event) { block_error(event); };
  disk.fd = image.release();
  UsbDeviceSpec spec = TRY(usb_disk(wanted, disk, on_error, std::chrono::milliseconds(0)));
  disk.fd = -1;
  return plug_usb(std::move(spec), wanted);
}

Result<void> Machine::plug_usb_hid(const UsbDeviceSettings& device) {
  TRY_VOID(check_usb(device.id));
  MachineConfig wanted = config_;
  const UsbDeviceSettings& chosen = wanted.usb_devices.emplace_back(device);
  TRY_VOID(complete(wanted));
  TRY_VOID(check_newcomer(chosen.id));
  return plug_usb(usb_hid(chosen, [this] { pointer_changed(); }), wanted);
}

// What takes keys and moves does so after the USB devices that came before it.
Result<void> Machine::plug_usb(UsbDeviceSpec spec, MachineConfig& wanted) {
  const UsbPlug plug = TRY(create_usb_device(std::move(spec), nullptr));
  TRY_VOID(usb_->add_device(plug));
  config_ = std::move(wanted);
  input_.add(*plug.device, InputRank::usb);
  return {};
}

bool Machine::unplug_usb(const std::string& id) {
  const auto in_flight_done = [this, id] {
    control_.post([this, id] {
      auto& device = leaving_.at(id).usb_device;
      if (auto* disk = dynamic_cast<UsbStorage*>(device.get())) {
        disk->give_up();
      }
      device.reset();
      after_loops([this, id] {
        leaving_.erase(id);
        emit({"DEVICE_DELETED", {{"device", id}}});
      });
    });
  };
  auto device = usb_ != nullptr ? usb_->remove_device(id, in_flight_done) : fail("there is no USB");
  if (!device) {
    return false;
  }
  std::erase_if(config_.usb_devices, [&id](const UsbDeviceSettings& one) { return one.id == id; });
  std::erase_if(config_.disks, [&id](const DiskSettings& disk) { return disk.bus == "usb" && disk.id == id; });
  input_.remove(**device);
  pointer_changed();
  leaving_[id].usb_device = std::move(*device);
  return true;
}

}  // namespace lodge
