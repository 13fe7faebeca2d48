#include "devices/usb/controller.h"

#include <algorithm>
#include <atomic>

namespace lodge {

std::vector<UsbPlug> UsbController::devices() const {
  const Lock lock(plugs_mutex_);
  return plugs_;
}

Result<void> UsbController::plug_in(UsbPlug plug) {
  if (plug.port == 0 || plug.port > port_count()) {
    return fail("USB device '{}': there is no port {}; the controller has 1 to {}", plug.device->id(), plug.port,
                port_count());
  }
  UsbPort* const side = TRY(side_of(plug));
  const Lock lock(plugs_mutex_);
  if (std::ranges::find(plugs_, plug.port, &UsbPlug::port) != plugs_.end()) {
    return fail("USB device '{}': port {} is taken; choose another", plug.device->id(), plug.port);
  }
  plug.device->plug(side);
  plugs_.push_back(std::move(plug));
  return {};
}

Result<void> UsbController::add_device(const UsbPlug& plug) {
  TRY_VOID(plug_in(plug));
  connect(plug);
  return {};
}

Result<std::shared_ptr<UsbDevice>> UsbController::remove_device(std::string_view id, const std::function<void()>& done) {
  UsbPlug plug;
  {
    const Lock lock(plugs_mutex_);
    const auto it = std::ranges::find(plugs_, id, [](const UsbPlug& one) -> std::string_view { return one.device->id(); });
    if (it == plugs_.end()) {
      return fail("there is no USB device '{}'", id);
    }
    plug = *it;
    plugs_.erase(it);
    leaving_.push_back(plug.device);
  }
  disconnect(plug);
  UsbPort* const side = TRY(side_of(plug));
  plug.device->plug(nullptr);
  side->loop().post([this, device = plug.device, done] {
    device->quiesce([this, device, done] {
      {
        const Lock lock(plugs_mutex_);
        std::erase(leaving_, device);
      }
      done();
    });
  });
  return plug.device;
}

void UsbController::unplug_devices() {
  for (const UsbPlug& plug : devices()) {
    plug.device->plug(nullptr);
  }
}

void UsbController::quiesce_devices(const std::function<void()>& done) {
  std::vector<std::shared_ptr<UsbDevice>> all;
  {
    const Lock lock(plugs_mutex_);
    all = leaving_;
    std::ranges::transform(plugs_, std::back_inserter(all), &UsbPlug::device);
  }
  auto left = std::make_shared<std::atomic<size_t>>(all.size() + 1);  // one for the loop itself
  const auto one_less = [left, done] {
    if (left->fetch_sub(1) == 1) {
      done();
    }
  };
  for (const auto& device : all) {
    device->quiesce(one_less);
  }
  one_less();
}

void UsbController::resume_devices() {
  for (const UsbPlug& plug : devices()) {
    plug.device->resume();
  }
}

void UsbController::reset_devices() {
  for (const UsbPlug& plug : devices()) {
    plug.device->bus_reset();
  }
}

void UsbController::save_devices(StateWriter& out) const {
  for (const UsbPlug& plug : devices()) {
    plug.device->save(out);
  }
}

}  // namespace lodge
