// PCI configuration header, type 0 (PCI 3.0 section 6.1): offsets and bits.
#pragma once

#include <cstdint>

namespace lodge::pci {

inline constexpr uint8_t kVendor = 0x00;
inline constexpr uint8_t kDevice = 0x02;
inline constexpr uint8_t kCommand = 0x04;
inline constexpr uint8_t kStatus = 0x06;
inline constexpr uint8_t kRevision = 0x08;
inline constexpr uint8_t kClass = 0x09;
inline constexpr uint8_t kCacheLine = 0x0C;
inline constexpr uint8_t kLatency = 0x0D;
inline constexpr uint8_t kHeaderType = 0x0E;
inline constexpr uint8_t kBar0 = 0x10;
inline constexpr uint8_t kSubsystemVendor = 0x2C;
inline constexpr uint8_t kSubsystem = 0x2E;
inline constexpr uint8_t kCapabilities = 0x34;
inline constexpr uint8_t kInterruptLine = 0x3C;
inline constexpr uint8_t kInterruptPin = 0x3D;
inline constexpr uint8_t kHeaderEnd = 0x40;

inline constexpr uint16_t kCommandIo = 1U << 0;
inline constexpr uint16_t kCommandMemory = 1U << 1;
inline constexpr uint16_t kCommandMaster = 1U << 2;
inline constexpr uint16_t kCommandSerr = 1U << 8;
inline constexpr uint16_t kCommandIntxOff = 1U << 10;
inline constexpr uint8_t kStatusInterrupt = 1U << 3;
inline constexpr uint16_t kStatusCapabilities = 1U << 4;

inline constexpr uint8_t kCapVendor = 0x09;
inline constexpr uint8_t kCapMsix = 0x11;

}  // namespace lodge::pci
