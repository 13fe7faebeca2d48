// What a USB device says of itself: a device with one configuration and one interface (USB 2.0, 9.6; USB 3.0, 9.6).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "devices/usb/usb.h"

namespace lodge {

struct UsbEndpointSpec {
  uint8_t address = 0;  // with usb::kIn
  uint8_t type = usb::kBulk;
  uint16_t max_packet = 0;
  uint8_t interval = 0;
};

struct UsbIdentity {
  UsbSpeed speed = UsbSpeed::full;
  uint16_t vendor = 0;
  uint16_t product = 0;
  std::string manufacturer;
  std::string product_name;
  std::string serial;           // empty: none
  uint8_t interface_class = 0;  // of the one interface, as the next two
  uint8_t interface_subclass = 0;
  uint8_t interface_protocol = 0;
  bool remote_wakeup = false;
  std::vector<uint8_t> class_descriptor;  // between those of the interface and of its endpoints
  std::vector<UsbEndpointSpec> endpoints;
};

class UsbDescriptors {
 public:
  explicit UsbDescriptors(const UsbIdentity& identity);
  // Empty: there is none.
  [[nodiscard]] std::span<const uint8_t> find(uint8_t type, uint8_t index) const;
  // Bit n: there is an endpoint n for what the host sends; bit 16 + n: for what it receives.
  [[nodiscard]] uint32_t endpoints() const { return endpoints_; }
  [[nodiscard]] bool can_wake() const { return can_wake_; }

 private:
  void build_device(const UsbIdentity& identity);
  void build_configuration(const UsbIdentity& identity);
  void build_bos();
  [[nodiscard]] uint8_t add_string(const std::string& text);

  std::vector<uint8_t> device_;
  std::vector<uint8_t> configuration_;
  std::vector<uint8_t> bos_;
  std::vector<std::vector<uint8_t>> strings_;
  uint32_t endpoints_ = 0;
  bool can_wake_ = false;
};

}  // namespace lodge
