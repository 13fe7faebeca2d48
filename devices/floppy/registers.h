// Names of the 82078's registers, status bits and commands (Intel 290474).
#pragma once

#include <cstdint>

namespace lodge::floppy {

inline constexpr uint16_t kPorts = 0x3F0;  // six of them, and
inline constexpr uint16_t kDirPort = 0x3F7;
inline constexpr uint32_t kIrq = 6;
inline constexpr uint32_t kDmaChannel = 2;
inline constexpr uint32_t kSector = 512;

enum Port : uint8_t { kStatusA, kStatusB, kDigitalOutput, kTapeDrive, kMainStatus, kFifo };
inline constexpr uint8_t kDataRateSelect = kMainStatus;  // written

// Digital output register.
inline constexpr uint8_t kSelect = 0x03;
inline constexpr uint8_t kNotReset = 0x04;
inline constexpr uint8_t kGate = 0x08;  // interrupt and DMA requests leave the chip
inline constexpr uint8_t kFirstMotor = 0x10;

// Data rate select register and configuration control register.
inline constexpr uint8_t kRate = 0x03;
inline constexpr uint8_t kSoftReset = 0x80;

// Main status register.
inline constexpr uint8_t kBusy = 0x10;
inline constexpr uint8_t kNonDma = 0x20;
inline constexpr uint8_t kToHost = 0x40;
inline constexpr uint8_t kRequest = 0x80;

// Digital input register.
inline constexpr uint8_t kDiskChanged = 0x80;

// Status register 0.
inline constexpr uint8_t kAbnormal = 0x40;
inline constexpr uint8_t kInvalid = 0x80;
inline constexpr uint8_t kPolled = 0xC0;
inline constexpr uint8_t kSeekEnd = 0x20;
inline constexpr uint8_t kEquipmentCheck = 0x10;
inline constexpr uint8_t kHeadShift = 2;
// 1
inline constexpr uint8_t kEndOfCylinder = 0x80;
inline constexpr uint8_t kDataError = 0x20;
inline constexpr uint8_t kNoData = 0x04;
inline constexpr uint8_t kNotWritable = 0x02;
inline constexpr uint8_t kMissingMark = 0x01;
// 2
inline constexpr uint8_t kControlMark = 0x40;
inline constexpr uint8_t kDataErrorInData = 0x20;
inline constexpr uint8_t kWrongCylinder = 0x10;
// 3
inline constexpr uint8_t kReady = 0x28;
inline constexpr uint8_t kProtected = 0x40;
inline constexpr uint8_t kTrack0 = 0x10;

// First byte of a command; the upper bits of those that move data are options.
enum Command : uint8_t {
  kReadTrack = 0x02,
  kSpecify = 0x03,
  kSenseDrive = 0x04,
  kWrite = 0x05,
  kRead = 0x06,
  kRecalibrate = 0x07,
  kSenseInterrupt = 0x08,
  kWriteDeleted = 0x09,
  kReadId = 0x0A,
  kReadDeleted = 0x0C,
  kFormat = 0x0D,
  kDumpRegisters = 0x0E,
  kSeek = 0x0F,
  kVersion = 0x10,
  kPerpendicular = 0x12,
  kConfigure = 0x13,
  kLock = 0x14,
  kVerify = 0x16,
  kPowerDown = 0x17,
  kPartId = 0x18,
  kSaveState = 0x2E,
  kOption = 0x33,
  kRestoreState = 0x4E,
  kDriveSpecification = 0x8E,
  kRelativeSeek = 0x8F,
};
inline constexpr uint8_t kMultiTrack = 0x80;
inline constexpr uint8_t kMfm = 0x40;
inline constexpr uint8_t kCommandMask = 0x1F;
inline constexpr uint8_t kUpwards = 0x40;      // relative seek: towards the inner tracks
inline constexpr uint8_t kLockOn = 0x80;       // lock
inline constexpr uint8_t kVerifyCount = 0x80;  // verify, second byte: the last one is a number of sectors
inline constexpr uint8_t kNoDmaMode = 0x01;    // specify, third byte
inline constexpr uint8_t kImpliedSeek = 0x40;  // configure, third byte
inline constexpr uint8_t kNoFifo = 0x20;
inline constexpr uint8_t kNoPolling = 0x10;
inline constexpr uint8_t kSectorCode = 2;  // N: 128 << N bytes

inline constexpr uint8_t kVersionByte = 0x90;
inline constexpr uint8_t kPartByte = 0x41;

}  // namespace lodge::floppy
