#include "devices/usb/controller.h"

#include <algorithm>
#include <atomic>

namespace lodge {

Result<void> UsbController::plug_in(UsbPlug plug, uint32_t ports, UsbPort& side) {
  if (plug.port == 0 || plug.port > ports) {
    return fail("USB device '{}': there is no port {}; the controller has 1 to {}", plug.device->id(), plug.port, ports);
  }
  if (std::ranges::find(plugs_, plug.port, &UsbPlug::port) != plugs_.end()) {
    return fail("USB device '{}': port {} is taken; choose another", plug.device->id(), plug.port);
  }
  plug.device->plug(&side);
  plugs_.push_back(std::move(plug));
  return {};
}

void UsbController::unplug_devices() {
  for (const UsbPlug& plug : plugs_) {
    plug.device->plug(nullptr);
  }
}

void UsbController::quiesce_devices(const std::function<void()>& done) {
  auto left = std::make_shared<std::atomic<size_t>>(plugs_.size() + 1);  // one for the loop itself
  const auto one_less = [left, done] {
    if (left->fetch_sub(1) == 1) {
      done();
    }
  };
  for (const UsbPlug& plug : plugs_) {
    plug.device->quiesce(one_less);
  }
  one_less();
}

void UsbController::resume_devices() {
  for (const UsbPlug& plug : plugs_) {
    plug.device->resume();
  }
}

void UsbController::reset_devices() {
  for (const UsbPlug& plug : plugs_) {
    plug.device->bus_reset();
  }
}

void UsbController::save_devices(StateWriter& out) const {
  for (const UsbPlug& plug : plugs_) {
    plug.device->save(out);
  }
}

}  // namespace lodge
