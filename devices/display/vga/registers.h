// The VGA's registers (IBM VGA hardware reference; names and indices as every data sheet has them) and those of the Bochs
// display interface (its VBE DISPI registers).
#pragma once

#include <cstdint>

namespace lodge::vga {

// I/O ports. The CRTC's and the input status are at 3B4, 3B5, 3BA in monochrome modes.
inline constexpr uint16_t kFirstPort = 0x3B0;
inline constexpr uint16_t kLastPort = 0x3DF;
inline constexpr uint16_t kAttributeIndex = 0x3C0;
inline constexpr uint16_t kAttributeRead = 0x3C1;
inline constexpr uint16_t kMiscWrite = 0x3C2;  // reading: input status 0
inline constexpr uint16_t kEnable = 0x3C3;
inline constexpr uint16_t kSequencerIndex = 0x3C4;
inline constexpr uint16_t kSequencerData = 0x3C5;
inline constexpr uint16_t kDacMask = 0x3C6;
inline constexpr uint16_t kDacReadIndex = 0x3C7;  // reading: the DAC's state
inline constexpr uint16_t kDacWriteIndex = 0x3C8;
inline constexpr uint16_t kDacData = 0x3C9;
inline constexpr uint16_t kFeatureRead = 0x3CA;
inline constexpr uint16_t kMiscRead = 0x3CC;
inline constexpr uint16_t kGraphicsIndex = 0x3CE;
inline constexpr uint16_t kGraphicsData = 0x3CF;
inline constexpr uint16_t kCrtcIndex = 0x3D4;
inline constexpr uint16_t kCrtcData = 0x3D5;
inline constexpr uint16_t kStatus1 = 0x3DA;  // writing: feature control

inline constexpr uint8_t kMiscColour = 0x01;  // the CRTC is at 3Dx

// Sequencer
inline constexpr uint8_t kClockingMode = 1;
inline constexpr uint8_t kMapMask = 2;
inline constexpr uint8_t kCharacterMap = 3;
inline constexpr uint8_t kMemoryMode = 4;
inline constexpr uint8_t kEightDots = 0x01;     // of the clocking mode
inline constexpr uint8_t kHalfDotClock = 0x08;  //
inline constexpr uint8_t kScreenOff = 0x20;     //
inline constexpr uint8_t kOddEvenOff = 0x04;    // of the memory mode
inline constexpr uint8_t kChain4 = 0x08;        //

// Graphics controller
inline constexpr uint8_t kSetReset = 0;
inline constexpr uint8_t kEnableSetReset = 1;
inline constexpr uint8_t kColourCompare = 2;
inline constexpr uint8_t kRotate = 3;
inline constexpr uint8_t kReadMap = 4;
inline constexpr uint8_t kMode = 5;
inline constexpr uint8_t kMiscellaneous = 6;
inline constexpr uint8_t kColourDontCare = 7;
inline constexpr uint8_t kBitMask = 8;
inline constexpr uint8_t kReadMode1 = 0x08;     // of the mode
inline constexpr uint8_t kOddEven = 0x10;       //
inline constexpr uint8_t kGraphicsMode = 0x01;  // of the miscellaneous register

// CRTC
inline constexpr uint8_t kHorizontalEnd = 0x01;
inline constexpr uint8_t kOverflow = 0x07;
inline constexpr uint8_t kMaximumScanLine = 0x09;
inline constexpr uint8_t kCursorStart = 0x0A;
inline constexpr uint8_t kCursorEnd = 0x0B;
inline constexpr uint8_t kStartHigh = 0x0C;
inline constexpr uint8_t kStartLow = 0x0D;
inline constexpr uint8_t kCursorHigh = 0x0E;
inline constexpr uint8_t kCursorLow = 0x0F;
inline constexpr uint8_t kVerticalRetraceEnd = 0x11;
inline constexpr uint8_t kVerticalEnd = 0x12;
inline constexpr uint8_t kOffset = 0x13;
inline constexpr uint8_t kUnderline = 0x14;
inline constexpr uint8_t kCrtcMode = 0x17;
inline constexpr uint8_t kLineCompare = 0x18;
inline constexpr uint8_t kProtect = 0x80;     // of the vertical retrace end: registers 0 to 7 are read-only
inline constexpr uint8_t kDoubleScan = 0x80;  // of the maximum scan line
inline constexpr uint8_t kCursorOff = 0x20;   // of the cursor start

// Attribute controller
inline constexpr uint8_t kAttributeMode = 0x10;
inline constexpr uint8_t kOverscan = 0x11;
inline constexpr uint8_t kPlaneEnable = 0x12;
inline constexpr uint8_t kPixelPanning = 0x13;
inline constexpr uint8_t kColourSelect = 0x14;
inline constexpr uint8_t kPaletteSource = 0x20;  // of the index: the screen shows
inline constexpr uint8_t kLineGraphics = 0x04;   // of the mode
inline constexpr uint8_t kBlink = 0x08;          //
inline constexpr uint8_t kPalette54 = 0x80;      // colour bits 5 and 4 from the colour select register

// The Bochs display interface: 16-bit index and data ports.
inline constexpr uint16_t kVbeIndexPort = 0x1CE;
inline constexpr uint16_t kVbeDataPort = 0x1CF;
enum VbeRegister : uint8_t {
  kVbeId = 0,
  kVbeWidth = 1,
  kVbeHeight = 2,
  kVbeDepth = 3,
  kVbeEnable = 4,
  kVbeBank = 5,
  kVbeVirtualWidth = 6,
  kVbeVirtualHeight = 7,
  kVbeXOffset = 8,
  kVbeYOffset = 9,
  kVbeMemory64K = 10,
};
inline constexpr uint16_t kVbeOldestId = 0xB0C0;
inline constexpr uint16_t kVbeNewestId = 0xB0C5;
inline constexpr uint16_t kVbeEnabled = 0x01;
inline constexpr uint16_t kVbeGetCapabilities = 0x02;
inline constexpr uint16_t kVbe8BitDac = 0x20;
inline constexpr uint16_t kVbeLinear = 0x40;
inline constexpr uint16_t kVbeKeepMemory = 0x80;
inline constexpr uint16_t kVbeMaxWidth = 2560;
inline constexpr uint16_t kVbeMaxHeight = 1600;

}  // namespace lodge::vga
