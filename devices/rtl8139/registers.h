// Registers, descriptors and bits of the RTL8139C+ ("RTL8139C(L)+ Fast Ethernet Controller", revision 1.6).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lodge::rtl8139 {

inline constexpr uint64_t kBarBytes = 256;
inline constexpr size_t kRegisterBytes = 256;

// Offsets (chapter 6).
enum Register : uint8_t {
  kId = 0x00,          // 4 bytes, then 2
  kMulticast = 0x08,   // 8 bytes
  kTxStatus = 0x10,    // C: four of 4 bytes
  kDump = 0x10,        // C+: where the counters go, 8 bytes
  kTxAddress = 0x20,   // C: four of 4 bytes
  kTxNormal = 0x20,    // C+: ring of descriptors, 8 bytes
  kTxHigh = 0x28,      // C+: the same, served first
  kRxBuffer = 0x30,    // C
  kEarlyCount = 0x34,  // 2 bytes
  kEarlyStatus = 0x36,
  kCommand = 0x37,
  kRxRead = 0x38,     // CAPR, 2 bytes
  kRxWritten = 0x3A,  // CBR, 2 bytes
  kIntMask = 0x3C,    // 2 bytes
  kIntStatus = 0x3E,  // 2 bytes
  kTxConfig = 0x40,
  kRxConfig = 0x44,
  kTimer = 0x48,
  kMissed = 0x4C,
  kEepromCommand = 0x50,
  kConfig0 = 0x51,
  kConfig1 = 0x52,
  kTimerInt = 0x54,
  kMediaStatus = 0x58,
  kConfig3 = 0x59,
  kConfig4 = 0x5A,
  kMultiInt = 0x5C,
  kRevision = 0x5E,
  kTxSummary = 0x60,     // 2 bytes, as all up to the PHY's parameters
  kBasicControl = 0x62,  // BMCR
  kBasicStatus = 0x64,
  kAdvertise = 0x66,
  kPartner = 0x68,
  kExpansion = 0x6A,
  kDisconnects = 0x6C,
  kFalseCarrier = 0x6E,
  kNwayTest = 0x70,
  kRxErrors = 0x72,
  kCsConfig = 0x74,
  kPhy1 = 0x78,
  kTwister = 0x7C,
  kPhy2 = 0x80,
  kWakeFirst = 0x84,  // sums and patterns of frames that wake a system: 80 bytes
  kWakeLast = 0xD3,
  kFlash = 0xD4,
  kConfig5 = 0xD8,
  kTxPoll = 0xD9,
  kPlusCommand = 0xE0,
  kRxRing = 0xE4,  // 8 bytes
  kTxThreshold = 0xEC,
};

// CR
inline constexpr uint8_t kBufferEmpty = 1U << 0;
inline constexpr uint8_t kTxEnable = 1U << 2;
inline constexpr uint8_t kRxEnable = 1U << 3;
inline constexpr uint8_t kReset = 1U << 4;

// TSD
inline constexpr unsigned kTxDescriptors = 4;
inline constexpr uint32_t kTxSize = 0x1FFF;
inline constexpr uint32_t kTxOwn = 1U << 13;
inline constexpr uint32_t kTxUnderrun = 1U << 14;
inline constexpr uint32_t kTxOk = 1U << 15;
inline constexpr uint32_t kTxEarly = 0x3F0000;
inline constexpr uint32_t kTxCarrierLost = 1U << 31;
inline constexpr size_t kLongestPlain = 1792;  // in the C mode, both ways

// ISR, IMR
inline constexpr uint16_t kIntRxOk = 1U << 0;
inline constexpr uint16_t kIntRxError = 1U << 1;
inline constexpr uint16_t kIntTxOk = 1U << 2;
inline constexpr uint16_t kIntTxError = 1U << 3;
inline constexpr uint16_t kIntRxFull = 1U << 4;  // C: the ring; C+: no descriptor
inline constexpr uint16_t kIntLink = 1U << 5;
inline constexpr uint16_t kIntTxNone = 1U << 7;  // C+: no descriptor
inline constexpr uint16_t kIntSoftware = 1U << 8;
inline constexpr uint16_t kIntTimer = 1U << 14;
inline constexpr uint16_t kIntAll = 0xE1FF;

// TCR
inline constexpr uint32_t kTxConfigWritable = 0x030F07F0;  // gaps, loopback, CRC, DMA burst, retries
inline constexpr uint32_t kTxNoCrc = 1U << 16;             // the driver's frames have theirs
inline constexpr uint32_t kLoopback = 3U << 17;
inline constexpr uint32_t kHardwareVersion = 0x74800000;  // this chip

// RCR
inline constexpr uint32_t kAcceptAll = 1U << 0;
inline constexpr uint32_t kAcceptPhysical = 1U << 1;
inline constexpr uint32_t kAcceptMulticast = 1U << 2;
inline constexpr uint32_t kAcceptBroadcast = 1U << 3;
inline constexpr uint32_t kRxNoWrap = 1U << 7;
inline constexpr uint32_t kRxConfigWritable = 0x0F03FFBF;

// 9346CR
inline constexpr uint8_t kEeOut = 1U << 0;
inline constexpr uint8_t kEeIn = 1U << 1;
inline constexpr uint8_t kEeClock = 1U << 2;
inline constexpr uint8_t kEeSelect = 1U << 3;
inline constexpr uint8_t kEeMode = 3U << 6;
inline constexpr uint8_t kEeAutoload = 1U << 6;
inline constexpr uint8_t kEeProgram = 2U << 6;
inline constexpr uint8_t kEeConfig = 3U << 6;  // configuration registers may be written

// MSR, BMCR, BMSR
inline constexpr uint8_t kLinkDown = 1U << 2;
inline constexpr uint8_t kFlowControl = 3U << 6;
inline constexpr uint16_t kPhyReset = 1U << 15;
inline constexpr uint16_t kPhyRestart = 1U << 9;
inline constexpr uint16_t kPhyChoice = 1U << 13 | 1U << 12 | 1U << 8;  // speed, negotiation, duplex
inline constexpr uint16_t kPhyLink = 1U << 2;
inline constexpr uint16_t kPhyNegotiated = 1U << 5;

// TPPoll, C+CR, DTCCR
inline constexpr uint8_t kPollHigh = 1U << 7;
inline constexpr uint8_t kPollNormal = 1U << 6;
inline constexpr uint8_t kForceInterrupt = 1U << 0;
inline constexpr uint16_t kPlusTx = 1U << 0;
inline constexpr uint16_t kPlusRx = 1U << 1;
inline constexpr uint16_t kRxChecksum = 1U << 5;
inline constexpr uint16_t kRxVlan = 1U << 6;
inline constexpr uint16_t kPlusWritable = 0x007B;
inline constexpr uint32_t kDumpNow = 1U << 3;
inline constexpr uint64_t kDumpAlignment = 64;

// What stands in front of a frame in the C mode's ring; the C+ mode's descriptors have the same bits 11 higher.
inline constexpr uint16_t kRxGood = 1U << 0;
inline constexpr uint16_t kRxIsBroadcast = 1U << 13;
inline constexpr uint16_t kRxIsPhysical = 1U << 14;
inline constexpr uint16_t kRxIsMulticast = 1U << 15;
inline constexpr unsigned kPlusShift = 11;

// Descriptors of the C+ mode: 16 bytes, at most 64 in a ring. Bits of the first doubleword,
inline constexpr uint64_t kDescriptorBytes = 16;
inline constexpr uint8_t kMaxDescriptors = 64;
inline constexpr uint64_t kRingAlignment = 256;
inline constexpr uint32_t kOwn = 1U << 31;
inline constexpr uint32_t kEndOfRing = 1U << 30;
inline constexpr uint32_t kFirst = 1U << 29;
inline constexpr uint32_t kLast = 1U << 28;
inline constexpr uint32_t kLargeSend = 1U << 27;
inline constexpr uint32_t kSegmentSize = 0x7FF;  // from bit 16
inline constexpr uint32_t kIpChecksum = 1U << 18;
inline constexpr uint32_t kUdpChecksum = 1U << 17;
inline constexpr uint32_t kTcpChecksum = 1U << 16;
inline constexpr uint32_t kTxFailed = 1U << 23;
inline constexpr uint32_t kTxFifoEmpty = 1U << 25;
inline constexpr uint32_t kTxLinkFailed = 1U << 21;
inline constexpr uint32_t kRxBytes = 0x1FFF;
inline constexpr uint32_t kRxIsTcp = 1U << 16;
inline constexpr uint32_t kRxIsUdp = 2U << 16;
inline constexpr uint32_t kRxIsIp = 3U << 16;
inline constexpr uint32_t kIpWrong = 1U << 15;
inline constexpr uint32_t kUdpWrong = 1U << 14;
inline constexpr uint32_t kTcpWrong = 1U << 13;
// and of the second one; the tag has its two bytes the other way round.
inline constexpr uint32_t kTxTag = 1U << 17;
inline constexpr uint32_t kRxTag = 1U << 16;

}  // namespace lodge::rtl8139
