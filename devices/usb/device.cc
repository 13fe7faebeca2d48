#include "devices/usb/device.h"

#include <algorithm>
#include <array>

namespace lodge {
namespace {

constexpr UsbAnswer kDone{UsbStatus::done, 0};
constexpr UsbAnswer kStall{UsbStatus::stall, 0};
constexpr uint16_t kLastAddress = 127;

}  // namespace

UsbAnswer usb_answer(std::span<const uint8_t> bytes, std::span<std::byte> room) {
  const auto part = std::as_bytes(bytes.first(std::min(bytes.size(), room.size())));
  std::ranges::copy(part, room.begin());
  return {UsbStatus::done, part.size()};
}

UsbDevice::UsbDevice(std::string id, const UsbIdentity& identity)
    : id_(std::move(id)), speed_(identity.speed), descriptors_(identity) {}

Result<void> UsbDevice::load_device(const StateReader& saved) {
  const auto state = TRY(saved.get<UsbDeviceState>(id_));
  if (state.address > kLastAddress || state.configuration > 1 || (state.halted & ~descriptors_.endpoints()) != 0) {
    return fail("saved USB device '{}' is damaged", id_);
  }
  s_ = state;
  configured_.store(s_.configuration != 0, std::memory_order_release);
  return {};
}

void UsbDevice::save(StateWriter& out) const { out.put(id_, s_); }

void UsbDevice::bus_reset() {
  s_ = {};
  configured_.store(false, std::memory_order_release);
  configuration_changed();
}

UsbAnswer UsbDevice::control(const UsbSetup& setup, std::span<std::byte> data) {
  if ((setup.type & 0x60) != 0) {
    return own_request(setup, data);
  }
  switch (setup.request) {
    case usb::kGetStatus: return setup.in() ? get_status(setup, data) : kStall;
    case usb::kClearFeature: return set_feature(setup, false);
    case usb::kSetFeature: return set_feature(setup, true);
    case usb::kSetAddress:
      if (setup.value > kLastAddress) {
        return kStall;
      }
      s_.address = static_cast<uint8_t>(setup.value);
      return kDone;
    case usb::kGetDescriptor: return setup.in() ? get_descriptor(setup, data) : kStall;
    case usb::kGetConfiguration: return setup.in() ? usb_answer({&s_.configuration, 1}, data) : kStall;
    case usb::kSetConfiguration: return set_configuration(setup.value);
    case usb::kGetInterface: {
      static constexpr std::array<uint8_t, 1> kOnly{0};
      return setup.in() && setup.index == 0 && s_.configuration != 0 ? usb_answer(kOnly, data) : kStall;
    }
    case usb::kSetInterface: return setup.index == 0 && setup.value == 0 && s_.configuration != 0 ? kDone : kStall;
    case usb::kSetSel:
    case usb::kSetIsochDelay: return speed_ == UsbSpeed::super && !setup.in() ? kDone : kStall;
    default: return kStall;
  }
}

UsbAnswer UsbDevice::get_status(const UsbSetup& setup, std::span<std::byte> data) const {
  std::array<uint8_t, 2> status{};
  switch (setup.type & 0x1F) {
    case usb::kToDevice: status[0] = s_.remote_wakeup ? 2 : 0; break;
    case usb::kToInterface: status[0] = speed_ == UsbSpeed::super && descriptors_.can_wake() ? 1 : 0; break;
    case usb::kToEndpoint: {
      const auto endpoint = static_cast<uint8_t>(setup.index & 15);
      const bool in = (setup.index & usb::kIn) != 0;
      if (endpoint != 0 && !has(endpoint, in)) {
        return kStall;
      }
      status[0] = endpoint != 0 && halted(endpoint, in) ? 1 : 0;
      break;
    }
    default: return kStall;
  }
  return usb_answer(status, data);
}

UsbAnswer UsbDevice::set_feature(const UsbSetup& setup, bool on) {
  if (setup.in()) {
    return kStall;
  }
  switch (setup.type & 0x1F) {
    case usb::kToDevice:
      if (setup.value == usb::kFeatureRemoteWakeup && descriptors_.can_wake()) {
        s_.remote_wakeup = on;
        return kDone;
      }
      return speed_ == UsbSpeed::super && (setup.value == usb::kFeatureU1 || setup.value == usb::kFeatureU2) ? kDone
                                                                                                             : kStall;
    case usb::kToInterface:
      if (speed_ != UsbSpeed::super || setup.value != usb::kFeatureFunctionSuspend) {
        return kStall;
      }
      s_.remote_wakeup = on && descriptors_.can_wake() && (setup.index & 0x200) != 0;
      return kDone;
    case usb::kToEndpoint: {
      const auto endpoint = static_cast<uint8_t>(setup.index & 15);
      const bool in = (setup.index & usb::kIn) != 0;
      if (setup.value != usb::kFeatureHalt || (endpoint != 0 && !has(endpoint, in))) {
        return kStall;
      }
      if (endpoint == 0) {
        return kDone;
      }
      if (on) {
        halt(endpoint, in);
      } else {
        s_.halted &= ~bit(endpoint, in);
        halt_cleared(endpoint, in);
      }
      return kDone;
    }
    default: return kStall;
  }
}

UsbAnswer UsbDevice::get_descriptor(const UsbSetup& setup, std::span<std::byte> data) const {
  const auto type = static_cast<uint8_t>(setup.value >> 8);
  const auto found = (setup.type & 0x1F) == usb::kToInterface ? own_descriptor(type)
                                                              : descriptors_.find(type, static_cast<uint8_t>(setup.value));
  return found.empty() ? kStall : usb_answer(found, data);
}

UsbAnswer UsbDevice::set_configuration(uint16_t value) {
  if (value > 1) {
    return kStall;
  }
  s_.configuration = static_cast<uint8_t>(value);
  s_.halted = 0;
  configured_.store(value != 0, std::memory_order_release);
  configuration_changed();
  return kDone;
}

UsbAnswer UsbDevice::in(uint8_t endpoint, std::span<std::byte> room) {
  if (!has(endpoint, true)) {
    return {};
  }
  if (halted(endpoint, true)) {
    return kStall;
  }
  const UsbAnswer answer = transfer_in(endpoint, room);
  if (answer.status == UsbStatus::stall) {
    halt(endpoint, true);
  }
  return answer;
}

UsbAnswer UsbDevice::out(uint8_t endpoint, std::span<const std::byte> data) {
  if (!has(endpoint, false)) {
    return {};
  }
  if (halted(endpoint, false)) {
    return kStall;
  }
  const UsbAnswer answer = transfer_out(endpoint, data);
  if (answer.status == UsbStatus::stall) {
    halt(endpoint, false);
  }
  return answer;
}

}  // namespace lodge
