// Registers and bits of an ATA interface (ATA/ATAPI-6, T13 1410D), of its bus master (Intel 290550, chapter 2) and of packet
// devices (MMC-4, SPC-3). Names as in the documents.
#pragma once

#include <cstdint>

namespace lodge::ide {

// Command block, by offset from 0x1F0 or 0x170. Read / write.
inline constexpr uint64_t kData = 0;
inline constexpr uint64_t kError = 1;  // / features
inline constexpr uint64_t kCount = 2;  // packet devices: interrupt reason
inline constexpr uint64_t kLbaLow = 3;
inline constexpr uint64_t kLbaMid = 4;  // packet devices: byte count, low
inline constexpr uint64_t kLbaHigh = 5;
inline constexpr uint64_t kDevice = 6;
inline constexpr uint64_t kStatus = 7;  // / command

inline constexpr uint8_t kBsy = 0x80;
inline constexpr uint8_t kDrdy = 0x40;
inline constexpr uint8_t kDsc = 0x10;
inline constexpr uint8_t kDrq = 0x08;
inline constexpr uint8_t kErr = 0x01;
inline constexpr uint8_t kReady = kDrdy | kDsc;

inline constexpr uint8_t kUncorrectable = 0x40;
inline constexpr uint8_t kIdNotFound = 0x10;
inline constexpr uint8_t kAborted = 0x04;

inline constexpr uint8_t kDeviceLba = 0x40;
inline constexpr uint8_t kDeviceSecond = 0x10;

// Device control (0x3F6).
inline constexpr uint8_t kHighOrder = 0x80;
inline constexpr uint8_t kSoftReset = 0x04;
inline constexpr uint8_t kNoInterrupt = 0x02;

// Interrupt reason.
inline constexpr uint8_t kReasonCommand = 0x01;
inline constexpr uint8_t kReasonToHost = 0x02;

// Bus master, by offset in a channel's eight ports.
inline constexpr uint64_t kMasterCommand = 0;
inline constexpr uint64_t kMasterStatus = 2;
inline constexpr uint64_t kMasterTable = 4;
inline constexpr uint8_t kMasterStart = 0x01;
inline constexpr uint8_t kMasterToMemory = 0x08;
inline constexpr uint8_t kMasterActive = 0x01;
inline constexpr uint8_t kMasterError = 0x02;
inline constexpr uint8_t kMasterInterrupt = 0x04;
inline constexpr uint8_t kMasterCapable = 0x60;  // kept for the software

inline constexpr uint32_t kSector = 512;
inline constexpr uint8_t kMostMultiple = 16;  // sectors in a block
inline constexpr uint32_t kCdSector = 2048;
inline constexpr uint32_t kPacketSize = 12;

enum Command : uint8_t {
  kCmdDeviceReset = 0x08,
  kCmdReadSectors = 0x20,
  kCmdReadSectorsNoRetry = 0x21,
  kCmdReadSectorsExt = 0x24,
  kCmdReadDmaExt = 0x25,
  kCmdReadNativeMaxExt = 0x27,
  kCmdReadMultipleExt = 0x29,
  kCmdWriteSectors = 0x30,
  kCmdWriteSectorsNoRetry = 0x31,
  kCmdWriteSectorsExt = 0x34,
  kCmdWriteDmaExt = 0x35,
  kCmdWriteMultipleExt = 0x39,
  kCmdWriteDmaFuaExt = 0x3D,
  kCmdReadVerify = 0x40,
  kCmdReadVerifyNoRetry = 0x41,
  kCmdReadVerifyExt = 0x42,
  kCmdDiagnostic = 0x90,
  kCmdInitializeParameters = 0x91,
  kCmdPacket = 0xA0,
  kCmdIdentifyPacket = 0xA1,
  kCmdSmart = 0xB0,
  kCmdReadMultiple = 0xC4,
  kCmdWriteMultiple = 0xC5,
  kCmdSetMultiple = 0xC6,
  kCmdReadDma = 0xC8,
  kCmdReadDmaNoRetry = 0xC9,
  kCmdWriteDma = 0xCA,
  kCmdWriteDmaNoRetry = 0xCB,
  kCmdWriteMultipleFuaExt = 0xCE,
  kCmdStandbyImmediate = 0xE0,
  kCmdIdleImmediate = 0xE1,
  kCmdStandby = 0xE2,
  kCmdIdle = 0xE3,
  kCmdCheckPower = 0xE5,
  kCmdSleep = 0xE6,
  kCmdFlush = 0xE7,
  kCmdFlushExt = 0xEA,
  kCmdIdentify = 0xEC,
  kCmdSetFeatures = 0xEF,
  kCmdReadNativeMax = 0xF8,
};

enum PacketCommand : uint8_t {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kInquiry = 0x12,
  kStartStopUnit = 0x1B,
  kPreventAllow = 0x1E,
  kReadCapacity = 0x25,
  kRead10 = 0x28,
  kSeek10 = 0x2B,
  kReadToc = 0x43,
  kGetConfiguration = 0x46,
  kGetEventStatus = 0x4A,
  kReadDiscInformation = 0x51,
  kModeSense10 = 0x5A,
  kRead12 = 0xA8,
  kMechanismStatus = 0xBD,
};

// Sense: key, additional code and qualifier.
struct Sense {
  uint8_t key = 0;
  uint8_t code = 0;
  uint8_t qualifier = 0;
  friend bool operator==(const Sense&, const Sense&) = default;
};
inline constexpr Sense kNoSense{};
inline constexpr Sense kTrayClosedEmpty{2, 0x3A, 1};
inline constexpr Sense kTrayOpen{2, 0x3A, 2};
inline constexpr Sense kReadFailed{3, 0x11, 0};
inline constexpr Sense kUnknownPacket{5, 0x20, 0};
inline constexpr Sense kPastEnd{5, 0x21, 0};
inline constexpr Sense kBadField{5, 0x24, 0};
inline constexpr Sense kTrayLocked{5, 0x53, 2};
inline constexpr Sense kMediumChanged{6, 0x28, 0};

}  // namespace lodge::ide
