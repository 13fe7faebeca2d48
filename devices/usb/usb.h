// Numbers and shapes that USB devices and controllers share (USB 2.0 and USB 3.0, chapter 9).
#pragma once

#include <cstdint>

namespace lodge {

// As xHCI numbers them (xHCI 1.0, 7.2.2.1.1).
enum class UsbSpeed : uint8_t { full = 1, low = 2, high = 3, super = 4 };

// A control transfer's first eight bytes (USB 2.0, 9.3).
struct UsbSetup {
  uint8_t type = 0;
  uint8_t request = 0;
  uint16_t value = 0;
  uint16_t index = 0;
  uint16_t length = 0;
  [[nodiscard]] bool in() const { return (type & 0x80) != 0; }
};
static_assert(sizeof(UsbSetup) == 8);

namespace usb {

// Who a request is for, and what kind it is: its type without the direction.
inline constexpr uint8_t kIn = 0x80;
inline constexpr uint8_t kToDevice = 0x00;
inline constexpr uint8_t kToInterface = 0x01;
inline constexpr uint8_t kToEndpoint = 0x02;
inline constexpr uint8_t kClassToInterface = 0x21;

inline constexpr uint8_t kGetStatus = 0;
inline constexpr uint8_t kClearFeature = 1;
inline constexpr uint8_t kSetFeature = 3;
inline constexpr uint8_t kSetAddress = 5;
inline constexpr uint8_t kGetDescriptor = 6;
inline constexpr uint8_t kGetConfiguration = 8;
inline constexpr uint8_t kSetConfiguration = 9;
inline constexpr uint8_t kGetInterface = 10;
inline constexpr uint8_t kSetInterface = 11;
inline constexpr uint8_t kSetSel = 48;
inline constexpr uint8_t kSetIsochDelay = 49;

inline constexpr uint16_t kFeatureHalt = 0;
inline constexpr uint16_t kFeatureFunctionSuspend = 0;
inline constexpr uint16_t kFeatureRemoteWakeup = 1;
inline constexpr uint16_t kFeatureU1 = 48;
inline constexpr uint16_t kFeatureU2 = 49;

inline constexpr uint8_t kDeviceDescriptor = 1;
inline constexpr uint8_t kConfigurationDescriptor = 2;
inline constexpr uint8_t kStringDescriptor = 3;
inline constexpr uint8_t kInterfaceDescriptor = 4;
inline constexpr uint8_t kEndpointDescriptor = 5;
inline constexpr uint8_t kBosDescriptor = 15;
inline constexpr uint8_t kCapabilityDescriptor = 16;
inline constexpr uint8_t kCompanionDescriptor = 48;

inline constexpr uint8_t kBulk = 2;
inline constexpr uint8_t kInterrupt = 3;

inline constexpr uint8_t kSelfPowered = 0x40;
inline constexpr uint8_t kRemoteWakeup = 0x20;

}  // namespace usb
}  // namespace lodge
