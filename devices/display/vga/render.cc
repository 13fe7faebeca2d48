#include "devices/display/vga/render.h"

#include <algorithm>

#include "devices/display/lines.h"

namespace lodge {
namespace {

constexpr uint32_t kFontStride = 32 * 4;  // a character's 32 lines, one plane of four

struct Place {
  uint32_t offset;  // of the line in memory
  uint32_t row;     // of the picture since `start` or the split
};

Place place_of(const VgaMode& mode, uint32_t y) {
  uint32_t line = y;
  uint32_t start = mode.start;
  if (y > mode.line_compare) {
    line = y - mode.line_compare - 1;
    start = 0;
  }
  return {start, line / mode.repeat};
}

void text_line(const VgaMode& mode, const VideoMemory& memory, const Place& place, bool lit, std::span<uint32_t> out) {
  const uint32_t row = place.row / mode.cell_height;
  const uint32_t line = place.row % mode.cell_height;
  uint32_t cell = place.offset + row * mode.line_bytes;
  size_t x = 0;
  for (uint32_t column = 0; column < mode.columns; ++column, cell += 4) {
    const uint32_t planes = memory.load_planes(cell);
    const uint32_t character = planes & 0xFFU;
    uint32_t attribute = planes >> 8 & 0xFFU;
    uint32_t bits = memory.load(mode.fonts[attribute >> 3 & 1U] + character * kFontStride + line * 4);
    bits <<= 1;  // the ninth dot
    if (mode.line_graphics && character >= 0xC0 && character <= 0xDF) {
      bits |= bits >> 1 & 1U;
    }
    if (mode.blink && (attribute & 0x80U) != 0) {
      attribute &= 0x7FU;
      bits = lit ? bits : 0;
    }
    if (mode.cursor_on && lit && cell == mode.cursor && line >= mode.cursor_first && line <= mode.cursor_last) {
      bits = 0x1FF;
    }
    const uint32_t front = mode.palette[mode.attribute[attribute & 15U]];
    const uint32_t back = mode.palette[mode.attribute[attribute >> 4]];
    for (uint32_t dot = 0; dot < mode.cell_width && x < out.size(); ++dot, ++x) {
      out[x] = (bits >> (8 - dot) & 1U) != 0 ? front : back;
    }
  }
}

// Four planes, a bit of each for a pixel; pixels come eight at a time.
void planar_line(const VgaMode& mode, const VideoMemory& memory, uint32_t offset, std::span<uint32_t> out) {
  size_t x = 0;
  for (uint32_t left = mode.panning; x < out.size(); offset += 4, left = 0) {
    const uint32_t planes = memory.load_planes(offset & ~3U);
    for (uint32_t bit = left; bit < 8; ++bit) {
      const uint32_t at = 7 - bit;
      const uint32_t index =
          (planes >> at & 1U) | (planes >> (at + 7) & 2U) | (planes >> (at + 14) & 4U) | (planes >> (at + 21) & 8U);
      const uint32_t colour = mode.palette[mode.attribute[index]];
      for (uint32_t i = 0; i < mode.stretch && x < out.size(); ++i) {
        out[x++] = colour;
      }
    }
  }
}

// Two bits a pixel; planes 0 and 1 hold alternating bytes.
void interleaved_line(const VgaMode& mode, const VideoMemory& memory, uint32_t offset, std::span<uint32_t> out) {
  size_t x = 0;
  for (; x < out.size(); offset += 4) {
    const uint32_t planes = memory.load_planes(offset & ~3U);
    const uint32_t high = (planes & 0xFFU) << 8 | (planes >> 8 & 0xFFU);
    const uint32_t low = (planes >> 16 & 0xFFU) << 8 | planes >> 24;
    for (uint32_t pixel = 0; pixel < 8; ++pixel) {
      const uint32_t at = 14 - 2 * pixel;
      const uint32_t colour = mode.palette[mode.attribute[(high >> at & 3U) | (low >> at & 3U) << 2]];
      for (uint32_t i = 0; i < mode.stretch && x < out.size(); ++i) {
        out[x++] = colour;
      }
    }
  }
}

uint32_t widen5(uint32_t value) { return (value & 31U) << 3 | (value & 31U) >> 2; }
uint32_t widen6(uint32_t value) { return (value & 63U) << 2 | (value & 63U) >> 4; }

void linear_line(const VgaMode& mode, const VideoMemory& memory, uint32_t offset, std::span<uint32_t> out) {
  const uint32_t pixel = mode.kind == VgaMode::Kind::indexed ? 1
                         : mode.kind == VgaMode::Kind::rgb32 ? 4
                         : mode.kind == VgaMode::Kind::rgb24 ? 3
                                                             : 2;
  const size_t count = (out.size() + mode.stretch - 1) / mode.stretch;
  std::array<uint8_t, size_t{4} * 2560> copy;
  const std::span<uint8_t> bytes = std::span(copy).first(std::min(copy.size(), count * pixel));
  memory.copy_out(offset + mode.panning * pixel, bytes);
  for (size_t x = 0; x < out.size(); ++x) {
    const uint8_t* at = &bytes[x / mode.stretch * pixel];
    const uint32_t low = at[0] | (pixel > 1 ? uint32_t{at[1]} << 8 : 0);
    switch (mode.kind) {
      case VgaMode::Kind::indexed: out[x] = mode.palette[low]; break;
      case VgaMode::Kind::rgb15: out[x] = widen5(low >> 10) << 16 | widen5(low >> 5) << 8 | widen5(low); break;
      case VgaMode::Kind::rgb16: out[x] = widen5(low >> 11) << 16 | widen6(low >> 5) << 8 | widen5(low); break;
      default: out[x] = low | uint32_t{at[2]} << 16; break;
    }
  }
}

}  // namespace

void draw_line(const VgaMode& mode, const VideoMemory& memory, uint32_t y, bool lit, std::span<uint32_t> out) {
  if (mode.kind == VgaMode::Kind::blank) {
    std::fill(out.begin(), out.end(), 0);
    return;
  }
  const Place place = place_of(mode, y);
  if (mode.kind == VgaMode::Kind::text) {
    text_line(mode, memory, place, lit, out);
    return;
  }
  uint32_t offset = place.offset + place.row * mode.line_bytes;
  if (mode.cga_bank) {
    const uint32_t bank = 0x2000 * (mode.kind == VgaMode::Kind::interleaved ? 2 : 4);  // 8 KiB as the guest counts them
    offset = place.offset + place.row / 2 * mode.line_bytes + place.row % 2 * bank;
  }
  switch (mode.kind) {
    case VgaMode::Kind::planar: planar_line(mode, memory, offset, out); break;
    case VgaMode::Kind::interleaved: interleaved_line(mode, memory, offset, out); break;
    default: linear_line(mode, memory, offset, out); break;
  }
}

std::optional<ChangedLines> draw(const VgaMode& mode, const VideoMemory& memory, bool lit, Image& image) {
  return update_lines(image, mode.width, mode.height,
                      [&](uint32_t y, std::span<uint32_t> line) { draw_line(mode, memory, y, lit, line); });
}

}  // namespace lodge
