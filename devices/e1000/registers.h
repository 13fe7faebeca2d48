// Registers, descriptors and bits of the 82540EM ("PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
// Manual", 317453).
#pragma once

#include <cstdint>

namespace lodge::e1000 {

inline constexpr uint64_t kMemoryBar = 128 * 1024;
inline constexpr uint64_t kPortBar = 64;
inline constexpr uint32_t kRegisterBytes = 0x5C00;  // all that is here lies below

// Offsets (13.3).
enum Register : uint32_t {
  kCtrl = 0x0000,
  kCtrlCopy = 0x0004,
  kStatus = 0x0008,
  kEecd = 0x0010,
  kEerd = 0x0014,
  kCtrlExt = 0x0018,
  kMdic = 0x0020,
  kFlowLow = 0x0028,
  kFlowHigh = 0x002C,
  kFlowType = 0x0030,
  kVet = 0x0038,
  kIcr = 0x00C0,
  kItr = 0x00C4,
  kIcs = 0x00C8,
  kIms = 0x00D0,
  kImc = 0x00D8,
  kRctl = 0x0100,
  kFlowTimer = 0x0170,
  kTxcw = 0x0178,
  kTctl = 0x0400,
  kTipg = 0x0410,
  kAit = 0x0458,
  kLedctl = 0x0E00,
  kPba = 0x1000,
  kFcrtl = 0x2160,
  kFcrth = 0x2168,
  kRdbal = 0x2800,
  kRdbah = 0x2804,
  kRdlen = 0x2808,
  kRdh = 0x2810,
  kRdt = 0x2818,
  kRdtr = 0x2820,
  kRxdctl = 0x2828,
  kRadv = 0x282C,
  kTdbal = 0x3800,
  kTdbah = 0x3804,
  kTdlen = 0x3808,
  kTdh = 0x3810,
  kTdt = 0x3818,
  kTidv = 0x3820,
  kTxdctl = 0x3828,
  kTadv = 0x382C,
  kTspmt = 0x3830,
  kFirstCounter = 0x4000,
  kMissedPackets = 0x4010,
  kGoodReceived = 0x4074,
  kBroadcastReceived = 0x4078,
  kMulticastReceived = 0x407C,
  kGoodTransmitted = 0x4080,
  kGoodOctetsReceived = 0x4088,     // two registers
  kGoodOctetsTransmitted = 0x4090,  // two
  kNoBuffers = 0x40A0,
  kTotalOctetsReceived = 0x40C0,     // two
  kTotalOctetsTransmitted = 0x40C8,  // two
  kTotalReceived = 0x40D0,
  kTotalTransmitted = 0x40D4,
  kLastCounter = 0x4124,
  kRxcsum = 0x5000,
  kMta = 0x5200,   // 128 of them
  kRal = 0x5400,   // 16 pairs
  kVfta = 0x5600,  // 128
  kWuc = 0x5800,
  kWufc = 0x5808,
  kWus = 0x5810,
  kManc = 0x5820,
};
inline constexpr uint32_t kTableRegisters = 128;
inline constexpr uint32_t kAddresses = 16;

// CTRL, STATUS
inline constexpr uint32_t kSetLinkUp = 1U << 6;
inline constexpr uint32_t kReset = 1U << 26;
inline constexpr uint32_t kVlanMode = 1U << 30;
inline constexpr uint32_t kPhyReset = 1U << 31;
inline constexpr uint32_t kStatusLinkUp = 1U << 1;
inline constexpr uint32_t kStatusFixed = 0x80780 | 1;  // 1000 Mbit/s, full duplex, bus mastering

// EECD, EERD
inline constexpr uint32_t kEeClock = 1U << 0;
inline constexpr uint32_t kEeSelect = 1U << 1;
inline constexpr uint32_t kEeIn = 1U << 2;
inline constexpr uint32_t kEeOut = 1U << 3;
inline constexpr uint32_t kEeRequest = 1U << 6;
inline constexpr uint32_t kEeGrant = 1U << 7;
inline constexpr uint32_t kEePresent = 1U << 8;
inline constexpr uint32_t kEerdStart = 1U << 0;
inline constexpr uint32_t kEerdDone = 1U << 4;
inline constexpr uint16_t kEepromSum = 0xBABA;

// MDIC
inline constexpr uint32_t kMdicWrite = 1U << 26;
inline constexpr uint32_t kMdicRead = 2U << 26;
inline constexpr uint32_t kMdicReady = 1U << 28;
inline constexpr uint32_t kMdicInterrupt = 1U << 29;
inline constexpr uint32_t kMdicError = 1U << 30;
inline constexpr uint32_t kPhyAddress = 1;
enum Phy : uint8_t {
  kPhyControl = 0,
  kPhyStatus = 1,
  kPhyId1 = 2,
  kPhyId2 = 3,
  kPhyAdvertise = 4,
  kPhyPartner = 5,
  kPhyExpansion = 6,
  kPhyGigabitControl = 9,
  kPhyGigabitStatus = 10,
  kPhyExtendedStatus = 15,
  kPhySpecificControl = 16,
  kPhySpecificStatus = 17,
};
inline constexpr uint16_t kPhyControlReset = 0x8000;
inline constexpr uint16_t kPhyRestartNegotiation = 0x0200;
inline constexpr uint16_t kPhyLinkUp = 0x0004;
inline constexpr uint16_t kPhyNegotiated = 0x0020;
inline constexpr uint16_t kPhySpecificLinkUp = 0x0400;

// Interrupts
inline constexpr uint32_t kIntTransmitted = 1U << 0;
inline constexpr uint32_t kIntTransmitEmpty = 1U << 1;
inline constexpr uint32_t kIntLink = 1U << 2;
inline constexpr uint32_t kIntReceiveLow = 1U << 4;
inline constexpr uint32_t kIntReceiveOverrun = 1U << 6;
inline constexpr uint32_t kIntReceived = 1U << 7;
inline constexpr uint32_t kIntMdio = 1U << 9;
inline constexpr uint32_t kIntAll = 0x1FFFF;

// RCTL
inline constexpr uint32_t kEnable = 1U << 1;  // TCTL's, too
inline constexpr uint32_t kAllUnicast = 1U << 3;
inline constexpr uint32_t kAllMulticast = 1U << 4;
inline constexpr uint32_t kLongPackets = 1U << 5;
inline constexpr uint32_t kBroadcast = 1U << 15;
inline constexpr uint32_t kVlanFilter = 1U << 18;
inline constexpr uint32_t kSizeExtended = 1U << 25;
inline constexpr uint32_t kStripCrc = 1U << 26;
inline constexpr uint32_t kAddressValid = 1U << 31;  // RAH

// Descriptors, 16 bytes. Bits of their command byte, at 11; status at 12.
inline constexpr uint64_t kDescriptorBytes = 16;
inline constexpr uint64_t kStatusAt = 12;
inline constexpr uint8_t kCmdEnd = 0x01;
inline constexpr uint8_t kCmdChecksum = 0x04;  // legacy: IC
inline constexpr uint8_t kCmdSegment = 0x04;   // extended: TSE
inline constexpr uint8_t kCmdReport = 0x08;
inline constexpr uint8_t kCmdExtended = 0x20;
inline constexpr uint8_t kCmdVlan = 0x40;
inline constexpr uint8_t kContextTcp = 0x01;
inline constexpr uint8_t kContextIp = 0x02;  // version 4
inline constexpr uint8_t kOptionIp = 0x01;
inline constexpr uint8_t kOptionTransport = 0x02;
inline constexpr uint8_t kDone = 0x01;
inline constexpr uint8_t kEndOfPacket = 0x02;
inline constexpr uint8_t kIgnoreChecksum = 0x04;
inline constexpr uint8_t kVlanPacket = 0x08;

}  // namespace lodge::e1000
