// Screen: what a display shows, for those who look at it (VNC clients, screenshots). Nothing is drawn while nobody asks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace lodge {

// Pixels of 0x00RRGGBB, line by line.
struct Image {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint32_t> pixels;
  uint64_t serial = 0;  // the display's own: which of its pictures this is; 0: none
};

// Of an image: lines [first, last) have changed.
struct ChangedLines {
  uint32_t first = 0;
  uint32_t last = 0;
  bool resized = false;
};

class Screen {
 public:
  virtual ~Screen() = default;
  // Brings `image`, which this function filled before or which is empty, up to date; nothing: it is. Any thread.
  [[nodiscard]] virtual std::optional<ChangedLines> refresh(Image& image) = 0;
  // Whether the guest can be told of a size that those who look at it would like. Fixed; any thread.
  [[nodiscard]] virtual bool takes_sizes() const { return false; }
  // They would like this one, in pixels, neither 0. The guest may heed it. Any thread.
  virtual void prefer_size(uint32_t /*width*/, uint32_t /*height*/) {}
};

}  // namespace lodge
