// Register layout of virtio over PCI: offsets of the modern window (virtio 1.2 section 4.1.4) and of the 0.9 port window
// (section 4.1.4.10), status bits (2.1).
#pragma once

#include <cstdint>

namespace lodge::virtio_pci {

// BARs.
inline constexpr uint8_t kLegacyBar = 0;
inline constexpr uint8_t kMsixBar = 1;
inline constexpr uint8_t kModernBar = 4;
inline constexpr uint64_t kLegacyBarSize = 256;
inline constexpr uint64_t kModernBarSize = 0x4000;

// Inside the modern BAR.
inline constexpr uint64_t kCommonAt = 0x0000;
inline constexpr uint64_t kCommonSize = 0x38;
inline constexpr uint64_t kIsrAt = 0x1000;
inline constexpr uint64_t kDeviceAt = 0x2000;
inline constexpr uint64_t kDeviceSize = 0x1000;
inline constexpr uint64_t kNotifyAt = 0x3000;
inline constexpr uint64_t kNotifySize = 0x1000;
inline constexpr uint32_t kNotifyStep = 4;

// Common configuration.
enum Common : uint64_t {
  kDeviceFeatureSelect = 0x00,
  kDeviceFeature = 0x04,
  kDriverFeatureSelect = 0x08,
  kDriverFeature = 0x0C,
  kConfigVector = 0x10,
  kQueueCount = 0x12,
  kStatus = 0x14,
  kGeneration = 0x15,
  kQueueSelect = 0x16,
  kQueueSize = 0x18,
  kQueueVector = 0x1A,
  kQueueEnable = 0x1C,
  kQueueNotifyOff = 0x1E,
  kQueueDescriptors = 0x20,
  kQueueDriver = 0x28,
  kQueueDevice = 0x30,
};

// The 0.9 window.
enum Legacy : uint64_t {
  kLegacyDeviceFeatures = 0x00,
  kLegacyDriverFeatures = 0x04,
  kLegacyQueuePage = 0x08,
  kLegacyQueueSize = 0x0C,
  kLegacyQueueSelect = 0x0E,
  kLegacyNotify = 0x10,
  kLegacyStatus = 0x12,
  kLegacyIsr = 0x13,
  kLegacyConfigVector = 0x14,  // only with MSI-X enabled; the device's configuration follows
  kLegacyQueueVector = 0x16,
};

inline constexpr uint8_t kStatusAcknowledge = 1;
inline constexpr uint8_t kStatusDriver = 2;
inline constexpr uint8_t kStatusDriverOk = 4;
inline constexpr uint8_t kStatusFeaturesOk = 8;
inline constexpr uint8_t kStatusNeedsReset = 64;
inline constexpr uint8_t kStatusFailed = 128;

inline constexpr uint8_t kIsrQueue = 1;
inline constexpr uint8_t kIsrConfig = 2;
inline constexpr uint16_t kNoVector = 0xFFFF;

// Capability types.
inline constexpr uint8_t kCapCommon = 1;
inline constexpr uint8_t kCapNotify = 2;
inline constexpr uint8_t kCapIsr = 3;
inline constexpr uint8_t kCapDevice = 4;
inline constexpr uint8_t kCapPciAccess = 5;

}  // namespace lodge::virtio_pci
