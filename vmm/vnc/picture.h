// SharedPicture: the guest's picture as the server's process last saw it, in memory that client processes look at. For each
// tile it tells when it last changed, so that clients send only what they have not sent.
//
// One process writes (the server's); any number read, at any time. A reader may see half of a change; the tile's serial then
// moves on, and it looks again.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/result.h"
#include "vmm/display/channel.h"

namespace lodge::vnc {

struct Rect {
  uint32_t x = 0, y = 0, width = 0, height = 0;
  friend bool operator==(const Rect&, const Rect&) = default;
};

class SharedPicture {
 public:
  static constexpr uint32_t kTileWidth = 64;
  static constexpr uint32_t kTileHeight = 16;
  [[nodiscard]] static Result<SharedPicture> create();

  // The server. Takes over what differs in lines [first, last) of `source`, whose pixels another process may write to
  // meanwhile; whether anything did.
  struct Update {
    std::span<const uint32_t> source;
    uint32_t width = 0, height = 0;  // within display's limits
    uint32_t first = 0, last = 0;
  };
  bool update(const Update& update);

  // Everyone.
  struct Size {
    uint32_t width = 0, height = 0;
    friend bool operator==(const Size&, const Size&) = default;
  };
  [[nodiscard]] Size size() const;  // 0 x 0: there was no picture yet
  // Of the last change.
  [[nodiscard]] uint32_t serial() const { return header().serial.load(std::memory_order_acquire); }
  [[nodiscard]] uint32_t* pixels() const { return pixels_; }
  // Rectangles of a picture of this size that have changed since that serial; neighbours in a row are one.
  void changes(uint32_t since, Size size, const std::function<void(const Rect&)>& fn) const;
  // This process writes no more.
  [[nodiscard]] Result<void> make_read_only() const;

 private:
  // Of any picture within display's limits, with parts of tiles at its edges.
  static constexpr size_t kMaxTiles = display::kMaxPixels / (kTileWidth * kTileHeight) + display::kMaxSide / kTileWidth +
                                      display::kMaxSide / kTileHeight + 1;
  struct Header {
    std::atomic<uint32_t> size;  // width and height, 16 bits each
    std::atomic<uint32_t> serial;
    std::array<std::atomic<uint32_t>, kMaxTiles> changed;
  };
  static constexpr size_t kHeaderBytes = (sizeof(Header) + 4095) / 4096 * 4096;
  static constexpr size_t kBytes = kHeaderBytes + display::kPictureBytes;
  struct Unmap {
    void operator()(std::byte* at) const;
  };
  explicit SharedPicture(std::byte* at);
  [[nodiscard]] Header& header() const { return *header_; }
  bool take_tile(const Update& update, const Rect& tile);

  std::unique_ptr<std::byte, Unmap> memory_;
  Header* header_;
  uint32_t* pixels_;
};

}  // namespace lodge::vnc
