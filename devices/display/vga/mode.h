// VgaMode: what the registers say about the picture, put together once for each picture.
#pragma once

#include <array>
#include <cstdint>

#include "devices/display/vga/state.h"

namespace lodge {

struct VgaMode {
  enum class Kind : uint8_t { blank, text, planar, interleaved, indexed, rgb15, rgb16, rgb24, rgb32 };
  Kind kind = Kind::blank;
  uint32_t width = 0;  // pixels of the picture
  uint32_t height = 0;
  uint32_t start = 0;         // of the first line in video memory, bytes
  uint32_t line_bytes = 0;    // between lines
  uint32_t line_compare = 0;  // from this line on it begins at 0 again
  uint32_t repeat = 1;        // lines of the picture for one in memory
  uint32_t stretch = 1;       // pixels of the picture for one in memory
  uint32_t panning = 0;       // pixels that are left out at the left
  bool cga_bank = false;      // address bit 13 is bit 0 of the line (of 200)
  // Text
  uint32_t columns = 0;
  uint32_t cell_width = 8;
  uint32_t cell_height = 16;
  std::array<uint32_t, 2> fonts{};  // where in memory; by bit 3 of the attribute
  uint32_t cursor = 0;              // a byte offset; beyond the picture: none
  uint32_t cursor_first = 0;        // lines of the cell
  uint32_t cursor_last = 0;
  bool cursor_on = false;
  bool line_graphics = false;  // characters C0 to DF go on into the ninth dot
  bool blink = false;
  // Of indices
  std::array<uint32_t, 256> palette{};
  std::array<uint8_t, 16> attribute{};  // to indices of the palette
};

[[nodiscard]] VgaMode vga_mode(const VgaState& state, uint32_t memory_size);

}  // namespace lodge
