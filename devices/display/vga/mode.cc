#include "devices/display/vga/mode.h"

#include <algorithm>

namespace lodge {

using namespace vga;

namespace {

constexpr uint32_t kMaxWidth = 2560;
constexpr uint32_t kMaxHeight = 2048;
constexpr uint32_t kFontPlane = 2;

void set_palette(VgaMode& mode, const VgaState& s) {
  const bool wide = (s.vbe[kVbeEnable] & kVbe8BitDac) != 0;
  const auto part = [&](size_t index) -> uint32_t {
    const uint32_t value = s.dac[index];
    return wide ? value : ((value & 0x3FU) << 2) | ((value & 0x3FU) >> 4);
  };
  for (size_t i = 0; i < mode.palette.size(); ++i) {
    const size_t at = (i & s.dac_mask) * 3;
    mode.palette[i] = part(at) << 16 | part(at + 1) << 8 | part(at + 2);
  }
  const uint8_t select = s.attribute[kColourSelect];
  for (size_t i = 0; i < mode.attribute.size(); ++i) {
    const size_t enabled = i & s.attribute[kPlaneEnable];
    uint8_t index = s.attribute[enabled];
    if ((s.attribute[kAttributeMode] & kPalette54) != 0) {
      index = static_cast<uint8_t>((index & 0x0FU) | (select & 3U) << 4);
    }
    mode.attribute[i] = static_cast<uint8_t>((index & 0x3FU) | (select & 0x0CU) << 4);
  }
}

void set_vbe(VgaMode& mode, const VgaState& s) {
  mode.width = s.vbe[kVbeWidth];
  mode.height = s.vbe[kVbeHeight];
  const uint32_t depth = s.vbe[kVbeDepth];
  const uint32_t line = std::max<uint32_t>(s.vbe[kVbeVirtualWidth], mode.width);
  mode.line_compare = mode.height;
  uint32_t pixel = 1;
  switch (depth) {
    case 4:
      mode.kind = VgaMode::Kind::planar;
      mode.line_bytes = line / 8 * 4;
      mode.start = s.vbe[kVbeYOffset] * mode.line_bytes + s.vbe[kVbeXOffset] / 8U * 4;
      mode.panning = s.vbe[kVbeXOffset] & 7U;
      return;
    case 8: mode.kind = VgaMode::Kind::indexed; break;
    case 15: mode.kind = VgaMode::Kind::rgb15, pixel = 2; break;
    case 16: mode.kind = VgaMode::Kind::rgb16, pixel = 2; break;
    case 24: mode.kind = VgaMode::Kind::rgb24, pixel = 3; break;
    default: mode.kind = VgaMode::Kind::rgb32, pixel = 4; break;
  }
  mode.line_bytes = line * pixel;
  mode.start = s.vbe[kVbeYOffset] * mode.line_bytes + s.vbe[kVbeXOffset] * pixel;
}

void set_text(VgaMode& mode, const VgaState& s) {
  mode.kind = VgaMode::Kind::text;
  mode.cell_width = (s.sequencer[kClockingMode] & kEightDots) != 0 ? 8 : 9;
  mode.cell_height = (s.crtc[kMaximumScanLine] & 31U) + 1;
  mode.columns = s.crtc[kHorizontalEnd] + 1U;
  mode.width = mode.columns * mode.cell_width;
  // Tables of 8 KiB each, in an order that grew with the hardware: 0, 2, 4, 6, 1, 3, 5, 7.
  const auto font = [](uint32_t map) { return ((map & 3U) << 14 | (map & 4U) << 11) * 4 + kFontPlane; };
  const uint32_t select = s.sequencer[kCharacterMap];
  mode.fonts = {font((select & 3U) | (select >> 2 & 4U)), font((select >> 2 & 3U) | (select >> 3 & 4U))};
  mode.cursor = (uint32_t{s.crtc[kCursorHigh]} << 8 | s.crtc[kCursorLow]) * 4;
  mode.cursor_on = (s.crtc[kCursorStart] & kCursorOff) == 0;
  mode.cursor_first = s.crtc[kCursorStart] & 31U;
  mode.cursor_last = s.crtc[kCursorEnd] & 31U;
  mode.line_graphics = (s.attribute[kAttributeMode] & kLineGraphics) != 0;
  mode.blink = (s.attribute[kAttributeMode] & kBlink) != 0;
}

void set_graphics(VgaMode& mode, const VgaState& s) {
  const uint32_t dots = (s.crtc[kHorizontalEnd] + 1U) * 8;
  const bool half = (s.sequencer[kClockingMode] & kHalfDotClock) != 0;
  switch (s.graphics[kMode] >> 5 & 3) {
    case 0:
      mode.kind = VgaMode::Kind::planar;
      mode.stretch = half ? 2 : 1;
      mode.width = dots * mode.stretch;
      break;
    case 1:
      mode.kind = VgaMode::Kind::interleaved;
      mode.stretch = half ? 2 : 1;
      mode.width = dots * mode.stretch;
      break;
    default:  // 256 colours: two dots for each pixel
      mode.kind = VgaMode::Kind::indexed;
      mode.stretch = 2;
      mode.width = dots;
      break;
  }
  mode.repeat = (s.crtc[kMaximumScanLine] & 31U) + 1;
  mode.cga_bank = (s.crtc[kCrtcMode] & 1U) == 0;
  if (mode.cga_bank) {
    mode.repeat = std::max<uint32_t>(mode.repeat / 2, 1);
  }
}

}  // namespace

VgaMode vga_mode(const VgaState& s, uint32_t memory_size) {
  VgaMode mode;
  if ((s.attribute_index & kPaletteSource) == 0 || (s.sequencer[kClockingMode] & kScreenOff) != 0) {
    mode.width = 640;
    mode.height = 400;
    return mode;
  }
  set_palette(mode, s);
  const uint8_t overflow = s.crtc[kOverflow];
  mode.start = (uint32_t{s.crtc[kStartHigh]} << 8 | s.crtc[kStartLow]) * 4;
  mode.line_bytes = s.crtc[kOffset] * 8U;
  mode.height = s.crtc[kVerticalEnd] + ((overflow & 0x02U) << 7) + ((overflow & 0x40U) << 3) + 1;
  mode.line_compare = s.crtc[kLineCompare] | (overflow & 0x10U) << 4 | (s.crtc[kMaximumScanLine] & 0x40U) << 3;
  if ((s.vbe[kVbeEnable] & kVbeEnabled) != 0) {
    set_vbe(mode, s);
  } else if ((s.graphics[kMiscellaneous] & kGraphicsMode) != 0) {
    set_graphics(mode, s);
  } else {
    set_text(mode, s);
  }
  if ((s.vbe[kVbeEnable] & kVbeEnabled) == 0) {
    if ((s.crtc[kMaximumScanLine] & kDoubleScan) != 0) {
      mode.repeat *= 2;
    }
    const uint32_t panning = s.attribute[kPixelPanning] & 15U;
    mode.panning = mode.kind == VgaMode::Kind::text || mode.stretch == 1 ? panning & 7U : panning >> 1 & 3U;
  }
  mode.width = std::min(mode.width, kMaxWidth);
  mode.height = std::min(mode.height, kMaxHeight);
  mode.start &= memory_size - 1;
  if (mode.width == 0 || mode.height == 0) {
    return VgaMode{.width = 640, .height = 400};
  }
  return mode;
}

}  // namespace lodge
