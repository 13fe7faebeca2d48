// update_lines(): brings an image up to date line by line, and finds out which lines changed. For displays.
#pragma once

#include <algorithm>
#include <span>

#include "devices/display/screen.h"

namespace lodge {

// `draw_line(y, line)` puts line y of a picture of this size into `line`.
template <class DrawLine>
[[nodiscard]] std::optional<ChangedLines> update_lines(Image& image, uint32_t width, uint32_t height,
                                                       const DrawLine& draw_line) {
  ChangedLines changed;
  changed.resized = image.width != width || image.height != height;
  if (changed.resized) {
    image.width = width;
    image.height = height;
    image.pixels.assign(size_t{width} * height, 0);
    changed.last = height;
  }
  std::vector<uint32_t> line(width);
  for (uint32_t y = 0; y < height; ++y) {
    draw_line(y, std::span(line));
    const std::span<uint32_t> before = std::span(image.pixels).subspan(size_t{y} * width, width);
    if (std::ranges::equal(before, line)) {
      continue;
    }
    std::ranges::copy(line, before.begin());
    changed.first = changed.last == 0 ? y : changed.first;
    changed.last = std::max(changed.last, y + 1);
  }
  return changed.last == 0 ? std::nullopt : std::optional(changed);
}

}  // namespace lodge
