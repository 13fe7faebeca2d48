// The devices of a USB controller in a fuzz target: HIDs and one disk, which come and go.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "devices/block/raw.h"
#include "devices/usb/controller.h"
#include "devices/usb/hid/keyboard.h"
#include "devices/usb/hid/pointer.h"
#include "devices/usb/storage/device.h"
#include "tests/fuzz/common/test_devices.h"

namespace lodge::fuzz {

class UsbPopulation {
 public:
  // Each HID at a port of its own, from 1 on; then the disk.
  UsbPopulation(std::vector<UsbHidKind> hids, bool full_speed)
      : kinds_(std::move(hids)), full_speed_(full_speed), image_(::memfd_create("image", MFD_CLOEXEC)) {
    require(image_.valid() && ::ftruncate(image_.get(), kImage) == 0);
    all_are_there();
  }

  void all_are_there() {
    ports_.clear();
    for (uint32_t port = 1; port <= kinds_.size() + 1; ++port) {
      ports_.push_back(port);
    }
  }
  // Devices for a new controller, those that are there. Nothing: the saved state of one does not fit.
  std::optional<std::vector<UsbPlug>> make(const StateReader* saved) {
    std::vector<UsbPlug> plugs;
    for (size_t which = 0; which < ports_.size(); ++which) {
      if (ports_[which] == 0) {
        continue;
      }
      auto device = create(which, saved);
      if (!device) {
        return std::nullopt;
      }
      plugs.push_back({ports_[which], std::move(*device)});
    }
    return plugs;
  }
  // A device goes, or one that went comes, maybe to another port or one that there is not.
  void plug(UsbController& controller, Input& in) {
    const size_t which = in.take<uint8_t>() % ports_.size();
    if (ports_[which] != 0) {
      require(controller.remove_device(id(which), [] {}).has_value());
      ports_[which] = 0;
      return;
    }
    const auto port = static_cast<uint32_t>(in.take<uint8_t>() % (ports_.size() + 2));
    auto device = create(which, nullptr);
    require(device.has_value());
    if (controller.add_device({port, *device})) {
      ports_[which] = port;
    }
  }
  // The HID of that number, there or not; null before the first make().
  [[nodiscard]] UsbDevice* hid(size_t which) const { return hids_.size() > which ? hids_[which].get() : nullptr; }
  void forget() { hids_.clear(); }

 private:
  static constexpr off_t kImage = 96 * 1024;

  [[nodiscard]] std::string id(size_t which) const { return which < kinds_.size() ? fmt::format("hid{}", which) : "disk0"; }
  Result<std::shared_ptr<UsbDevice>> create(size_t which, const StateReader* saved) {
    if (which < kinds_.size()) {
      hids_.resize(kinds_.size());
      hids_[which] = TRY(create_usb_hid({id(which), kinds_[which], {}}, saved));
      return hids_[which];
    }
    RawOptions raw;
    raw.fd = std::move(*image_.duplicate());
    raw.lock = false;
    UsbStorageOptions disk;
    disk.id = id(which);
    disk.backend = std::move(*open_raw(std::move(raw)));
    disk.full_speed = full_speed_;
    disk.errors = {ErrorAction::stop, ErrorAction::stop};
    return UsbStorage::create(std::move(disk), saved);
  }

  std::vector<UsbHidKind> kinds_;
  bool full_speed_;
  Fd image_;
  std::vector<uint32_t> ports_;  // 0: it is not there
  std::vector<std::shared_ptr<UsbDevice>> hids_;
};

}  // namespace lodge::fuzz
