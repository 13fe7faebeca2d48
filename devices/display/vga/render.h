// Draws lines of what a VgaMode describes.
#pragma once

#include <span>

#include "devices/display/screen.h"
#include "devices/display/vga/mode.h"
#include "devices/display/vga/video_memory.h"

namespace lodge {

// Line `y` of the picture; `out` has mode.width pixels. `lit`: blinking things show.
void draw_line(const VgaMode& mode, const VideoMemory& memory, uint32_t y, bool lit, std::span<uint32_t> out);

// The whole picture; tells what differs from before.
[[nodiscard]] std::optional<ChangedLines> draw(const VgaMode& mode, const VideoMemory& memory, bool lit, Image& image);

}  // namespace lodge
