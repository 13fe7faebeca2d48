#include "devices/usb/descriptors.h"

#include <array>

namespace lodge {
namespace {

constexpr uint8_t kMilliamperes = 100;
constexpr uint16_t kEnglish = 0x0409;

void put16(std::vector<uint8_t>& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value));
  out.push_back(static_cast<uint8_t>(value >> 8));
}

void append(std::vector<uint8_t>& out, std::span<const uint8_t> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

// The size of endpoint 0's packets, as the device descriptor has it: of SuperSpeed the exponent.
uint8_t control_packet(UsbSpeed speed) {
  switch (speed) {
    case UsbSpeed::super: return 9;
    case UsbSpeed::low: return 8;
    default: return 64;
  }
}

uint16_t version(UsbSpeed speed) { return speed == UsbSpeed::super ? 0x0300 : 0x0200; }

}  // namespace

UsbDescriptors::UsbDescriptors(const UsbIdentity& identity) : can_wake_(identity.remote_wakeup) {
  std::vector<uint8_t> languages{4, usb::kStringDescriptor};
  put16(languages, kEnglish);
  strings_.push_back(std::move(languages));
  build_device(identity);
  build_configuration(identity);
  if (identity.speed == UsbSpeed::super) {
    build_bos();
  }
  for (const UsbEndpointSpec& endpoint : identity.endpoints) {
    endpoints_ |= 1U << ((endpoint.address & 15) + ((endpoint.address & usb::kIn) != 0 ? 16 : 0));
  }
}

// Of text that is ASCII.
uint8_t UsbDescriptors::add_string(const std::string& text) {
  constexpr size_t kLongest = 126;
  if (text.empty()) {
    return 0;
  }
  const std::string part = text.substr(0, kLongest);
  std::vector<uint8_t> string{static_cast<uint8_t>(2 + 2 * part.size()), usb::kStringDescriptor};
  for (const char c : part) {
    put16(string, static_cast<uint8_t>(c));
  }
  strings_.push_back(std::move(string));
  return static_cast<uint8_t>(strings_.size() - 1);
}

void UsbDescriptors::build_device(const UsbIdentity& identity) {
  device_ = {18, usb::kDeviceDescriptor};
  put16(device_, version(identity.speed));
  append(device_, std::array<uint8_t, 4>{0, 0, 0, control_packet(identity.speed)});  // the interface says what it is
  put16(device_, identity.vendor);
  put16(device_, identity.product);
  put16(device_, 0x0100);
  device_.push_back(add_string(identity.manufacturer));
  device_.push_back(add_string(identity.product_name));
  device_.push_back(add_string(identity.serial));
  device_.push_back(1);
}

void UsbDescriptors::build_configuration(const UsbIdentity& identity) {
  std::vector<uint8_t> inner{9,
                             usb::kInterfaceDescriptor,
                             0,
                             0,
                             static_cast<uint8_t>(identity.endpoints.size()),
                             identity.interface_class,
                             identity.interface_subclass,
                             identity.interface_protocol,
                             0};
  append(inner, identity.class_descriptor);
  for (const UsbEndpointSpec& endpoint : identity.endpoints) {
    append(inner, std::array<uint8_t, 4>{7, usb::kEndpointDescriptor, endpoint.address, endpoint.type});
    put16(inner, endpoint.max_packet);
    inner.push_back(endpoint.interval);
    if (identity.speed == UsbSpeed::super) {
      append(inner, std::array<uint8_t, 4>{6, usb::kCompanionDescriptor, 0, 0});
      put16(inner, endpoint.type == usb::kInterrupt ? endpoint.max_packet : uint16_t{0});
    }
  }
  const uint8_t attributes = 0x80 | (identity.remote_wakeup ? usb::kRemoteWakeup : uint8_t{0});
  configuration_ = {9, usb::kConfigurationDescriptor};
  put16(configuration_, static_cast<uint16_t>(9 + inner.size()));
  const uint8_t unit = identity.speed == UsbSpeed::super ? 8 : 2;  // of current
  append(configuration_, std::array<uint8_t, 5>{1, 1, 0, attributes, static_cast<uint8_t>(kMilliamperes / unit)});
  append(configuration_, inner);
}

// What it could do besides (USB 3.0, 9.6.2): USB 2.0's link power management, and which speeds.
void UsbDescriptors::build_bos() {
  bos_ = {5, usb::kBosDescriptor, 22, 0, 2};
  append(bos_, std::array<uint8_t, 7>{7, usb::kCapabilityDescriptor, 2, 0, 0, 0, 0});
  append(bos_, std::array<uint8_t, 10>{10, usb::kCapabilityDescriptor, 3, 0, 0x0E, 0, 3, 0, 0, 0});
}

std::span<const uint8_t> UsbDescriptors::find(uint8_t type, uint8_t index) const {
  switch (type) {
    case usb::kDeviceDescriptor: return index == 0 ? std::span<const uint8_t>(device_) : std::span<const uint8_t>();
    case usb::kConfigurationDescriptor:
      return index == 0 ? std::span<const uint8_t>(configuration_) : std::span<const uint8_t>();
    case usb::kStringDescriptor:
      return index < strings_.size() ? std::span<const uint8_t>(strings_[index]) : std::span<const uint8_t>();
    case usb::kBosDescriptor: return bos_;
    default: return {};
  }
}

}  // namespace lodge
