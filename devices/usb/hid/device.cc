#include "devices/usb/hid/device.h"

#include <algorithm>
#include <array>

namespace lodge {
namespace {

constexpr uint16_t kVendor = 0x0627;
constexpr uint8_t kHidClass = 3;
constexpr uint8_t kBootSubclass = 1;
constexpr uint8_t kHidDescriptor = 0x21;
constexpr uint8_t kReportDescriptor = 0x22;
constexpr size_t kHidDescriptorAt = 18;  // in the configuration's
constexpr uint8_t kHidDescriptorSize = 9;
constexpr uint8_t kIntervalMs = 8;
constexpr std::chrono::milliseconds kIdleUnit(4);

// Requests (HID 1.11, 7.2).
constexpr uint8_t kGetReport = 0x01;
constexpr uint8_t kGetIdle = 0x02;
constexpr uint8_t kGetProtocol = 0x03;
constexpr uint8_t kSetReport = 0x09;
constexpr uint8_t kSetIdle = 0x0A;
constexpr uint8_t kSetProtocol = 0x0B;
constexpr uint16_t kInputReport = 1;
constexpr uint16_t kOutputReport = 2;

constexpr UsbAnswer kDone{UsbStatus::done, 0};
constexpr UsbAnswer kStall{UsbStatus::stall, 0};

std::vector<uint8_t> hid_descriptor(size_t report_descriptor) {
  return {kHidDescriptorSize,
          kHidDescriptor,
          0x11,
          0x01,
          0,
          1,
          kReportDescriptor,
          static_cast<uint8_t>(report_descriptor),
          static_cast<uint8_t>(report_descriptor >> 8)};
}

UsbIdentity identity(const char* name, uint16_t product, uint8_t boot_protocol, size_t report_descriptor) {
  UsbIdentity who;
  who.vendor = kVendor;
  who.product = product;
  who.manufacturer = "Lodge";
  who.product_name = name;
  who.interface_class = kHidClass;
  who.interface_subclass = boot_protocol != 0 ? kBootSubclass : uint8_t{0};
  who.interface_protocol = boot_protocol;
  who.remote_wakeup = true;
  who.class_descriptor = hid_descriptor(report_descriptor);
  who.endpoints = {{1 | usb::kIn, usb::kInterrupt, UsbHid::kMaxReport, kIntervalMs}};
  return who;
}

}  // namespace

UsbHid::UsbHid(UsbHidOptions options, const Kind& kind)
    : UsbDevice(std::move(options.id),
                identity(kind.product_name, kind.product, kind.boot_protocol, kind.report_descriptor.size())),
      report_descriptor_(kind.report_descriptor),
      boot_(kind.boot_protocol != 0),
      on_listening_(std::move(options.on_listening)) {}

Result<void> UsbHid::load_hid(const StateReader& saved) {
  TRY_VOID(load_device(saved));
  const auto state = TRY(saved.get<UsbHidState>(id()));
  const Lock lock(mutex_);
  hid_ = state;
  hid_.report_protocol = hid_.report_protocol || !boot_;
  listened_ = configured();
  return {};
}

void UsbHid::save(StateWriter& out) const {
  UsbDevice::save(out);
  const Lock lock(mutex_);
  out.put(id(), hid_);
}

void UsbHid::quiesce(Done done) {
  repetition_.reset();
  done();
}

void UsbHid::resume() { repeat_later(); }

std::span<const uint8_t> UsbHid::own_descriptor(uint8_t type) const {
  switch (type) {
    case kHidDescriptor: return configuration().subspan(kHidDescriptorAt, kHidDescriptorSize);
    case kReportDescriptor: return report_descriptor_;
    default: return {};
  }
}

void UsbHid::configuration_changed() {
  {
    const Lock lock(mutex_);
    hid_ = {};
    repeat_due_ = false;
    forget();
  }
  repetition_.reset();
  if (std::exchange(listened_, configured()) != configured() && on_listening_) {
    on_listening_();
  }
}

UsbAnswer UsbHid::own_request(const UsbSetup& setup, std::span<std::byte> data) {
  if ((setup.type & ~usb::kIn) != usb::kClassToInterface || setup.index != 0) {
    return kStall;
  }
  const auto kind = static_cast<uint16_t>(setup.value >> 8);
  const Lock lock(mutex_);
  switch (setup.request | (setup.in() ? 0x100 : 0)) {
    case kGetReport | 0x100: {
      if (kind != kInputReport) {
        return kStall;
      }
      std::array<uint8_t, kMaxReport> report{};
      put_report(report);
      return usb_answer(std::span(report).first(report_size()), data);
    }
    case kSetReport: return kind == kOutputReport ? set_report(data) : kStall;
    case kGetIdle | 0x100: return usb_answer({&hid_.idle, 1}, data);
    case kSetIdle: hid_.idle = static_cast<uint8_t>(kind); return kDone;
    case kGetProtocol | 0x100: {
      const std::array<uint8_t, 1> protocol{hid_.report_protocol ? uint8_t{1} : uint8_t{0}};
      return boot_ ? usb_answer(protocol, data) : kStall;
    }
    case kSetProtocol:
      if (!boot_ || setup.value > 1) {
        return kStall;
      }
      hid_.report_protocol = setup.value == 1;
      return kDone;
    default: return kStall;
  }
}

UsbAnswer UsbHid::transfer_in(uint8_t /*endpoint*/, std::span<std::byte> room) {
  UsbAnswer answer;
  {
    const Lock lock(mutex_);
    if (!has_news() && !repeat_due_) {
      return {UsbStatus::nak};
    }
    if (room.size() < report_size()) {
      return {UsbStatus::babble};
    }
    if (has_news()) {
      take_news();
    }
    repeat_due_ = false;
    std::array<uint8_t, kMaxReport> report{};
    put_report(report);
    answer = usb_answer(std::span(report).first(report_size()), room);
  }
  repeat_later();
  return answer;
}

// On the loop: while something is held, the host may want to hear of it again (HID 1.11, 7.2.4).
void UsbHid::repeat_later() {
  std::chrono::milliseconds idle(0);
  {
    const Lock lock(mutex_);
    if (hid_.idle != 0 && holds()) {
      idle = hid_.idle * kIdleUnit;
    }
  }
  UsbPort* const at = port();
  if (idle.count() == 0 || at == nullptr) {
    repetition_.reset();
    return;
  }
  repetition_ = at->loop().after(idle, [this] {
    {
      const Lock lock(mutex_);
      repeat_due_ = true;
    }
    wake_port();
  });
}

}  // namespace lodge
