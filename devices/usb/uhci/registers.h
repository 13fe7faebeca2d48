// Registers and schedule entries of a UHCI controller (Universal Host Controller Interface design guide 1.1, chapters 2, 3).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lodge::uhci {

// I/O registers (2.1): offsets from the base.
inline constexpr uint16_t kCommand = 0x00;     // 16 bits
inline constexpr uint16_t kStatus = 0x02;      // 16 bits, written ones clear
inline constexpr uint16_t kInterrupts = 0x04;  // 16 bits
inline constexpr uint16_t kFrame = 0x06;       // 16 bits
inline constexpr uint16_t kList = 0x08;        // 32 bits
inline constexpr uint16_t kSof = 0x0C;         // 8 bits
inline constexpr uint16_t kPorts = 0x10;       // 16 bits each
inline constexpr size_t kPortCount = 2;
inline constexpr uint64_t kBarSize = 32;

inline constexpr uint16_t kCmdRun = 1U << 0;
inline constexpr uint16_t kCmdReset = 1U << 1;
inline constexpr uint16_t kCmdGlobalReset = 1U << 2;
inline constexpr uint16_t kCmdGlobalSuspend = 1U << 3;
inline constexpr uint16_t kCmdGlobalResume = 1U << 4;
inline constexpr uint16_t kCmdMask = 0xFF;

inline constexpr uint16_t kStsInterrupt = 1U << 0;
inline constexpr uint16_t kStsError = 1U << 1;
inline constexpr uint16_t kStsResume = 1U << 2;
inline constexpr uint16_t kStsSystemError = 1U << 3;   // guest memory that must be there is not
inline constexpr uint16_t kStsProcessError = 1U << 4;  // the schedule makes no sense
inline constexpr uint16_t kStsHalted = 1U << 5;
inline constexpr uint16_t kStsClearable = 0x1F;  // halted says how it is

inline constexpr uint16_t kIntError = 1U << 0;
inline constexpr uint16_t kIntResume = 1U << 1;
inline constexpr uint16_t kIntComplete = 1U << 2;
inline constexpr uint16_t kIntShort = 1U << 3;
inline constexpr uint16_t kIntMask = 0x0F;

inline constexpr uint16_t kFrameMask = 0x7FF;
inline constexpr uint32_t kFrames = 1024;  // entries of the frame list
inline constexpr uint32_t kListMask = 0xFFFFF000;
inline constexpr uint8_t kSofDefault = 64;
inline constexpr uint8_t kSofMask = 0x7F;

inline constexpr uint16_t kPortConnected = 1U << 0;
inline constexpr uint16_t kPortConnectChange = 1U << 1;
inline constexpr uint16_t kPortEnabled = 1U << 2;
inline constexpr uint16_t kPortEnableChange = 1U << 3;
inline constexpr uint16_t kPortLineIdle = 1U << 4;  // D+ is high: a full-speed device that says nothing
inline constexpr uint16_t kPortResume = 1U << 6;
inline constexpr uint16_t kPortAlwaysOne = 1U << 7;
inline constexpr uint16_t kPortLowSpeed = 1U << 8;
inline constexpr uint16_t kPortReset = 1U << 9;
inline constexpr uint16_t kPortSuspended = 1U << 12;

// Links of the schedule (3.1 to 3.3).
inline constexpr uint32_t kLinkEnd = 1U << 0;
inline constexpr uint32_t kLinkQueue = 1U << 1;  // leads to a queue head, else to a transfer descriptor
inline constexpr uint32_t kLinkDepth = 1U << 2;  // of a descriptor: the next of its queue comes before the next queue
inline constexpr uint32_t kLinkMask = 0xFFFFFFF0;

// Transfer descriptors (3.2).
inline constexpr uint32_t kTdLengthMask = 0x7FF;  // less one; all ones: nothing
inline constexpr uint32_t kTdStatusMask = 0x7EU << 16;
inline constexpr uint32_t kTdTimeout = 1U << 18;
inline constexpr uint32_t kTdNak = 1U << 19;
inline constexpr uint32_t kTdBabble = 1U << 20;
inline constexpr uint32_t kTdBufferError = 1U << 21;
inline constexpr uint32_t kTdStalled = 1U << 22;
inline constexpr uint32_t kTdActive = 1U << 23;
inline constexpr uint32_t kTdComplete = 1U << 24;  // interrupts at the end of its frame
inline constexpr uint32_t kTdIsochronous = 1U << 25;
inline constexpr uint32_t kTdErrorShift = 27;
inline constexpr uint32_t kTdErrors = 3U << kTdErrorShift;
inline constexpr uint32_t kTdShort = 1U << 29;
inline constexpr size_t kMostPacket = 1280;

inline constexpr uint8_t kPidSetup = 0x2D;
inline constexpr uint8_t kPidIn = 0x69;
inline constexpr uint8_t kPidOut = 0xE1;

struct Td {
  uint32_t link = 0;
  uint32_t control = 0;
  uint32_t token = 0;
  uint32_t buffer = 0;
  [[nodiscard]] uint8_t pid() const { return static_cast<uint8_t>(token); }
  [[nodiscard]] uint8_t address() const { return token >> 8 & 0x7F; }
  [[nodiscard]] uint8_t endpoint() const { return token >> 15 & 15; }
  // Bytes; more than kMostPacket makes no sense.
  [[nodiscard]] uint32_t length() const { return ((token >> 21) + 1) & kTdLengthMask; }
};
static_assert(sizeof(Td) == 16);

struct QueueHead {
  uint32_t next = 0;
  uint32_t element = 0;
};

}  // namespace lodge::uhci
