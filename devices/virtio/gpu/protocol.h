// The wire of virtio-gpu (virtio 1.2 section 5.7): 2D commands, cursor commands and their answers. Names are the
// specification's without VIRTIO_GPU_.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lodge::virtio_gpu {

inline constexpr uint64_t kFeatureEdid = 1U << 1;

enum Command : uint32_t {
  kGetDisplayInfo = 0x0100,
  kResourceCreate2d = 0x0101,
  kResourceUnref = 0x0102,
  kSetScanout = 0x0103,
  kResourceFlush = 0x0104,
  kTransferToHost2d = 0x0105,
  kResourceAttachBacking = 0x0106,
  kResourceDetachBacking = 0x0107,
  kGetEdid = 0x010A,
  kUpdateCursor = 0x0300,
  kMoveCursor = 0x0301,
};

enum Response : uint32_t {
  kOkNodata = 0x1100,
  kOkDisplayInfo = 0x1101,
  kOkEdid = 0x1104,
  kErrUnspec = 0x1200,
  kErrOutOfMemory = 0x1201,
  kErrInvalidScanoutId = 0x1202,
  kErrInvalidResourceId = 0x1203,
  kErrInvalidParameter = 0x1205,
};

inline constexpr uint32_t kFlagFence = 1;
inline constexpr uint32_t kMaxScanouts = 16;
inline constexpr size_t kMaxEdid = 1024;

struct Header {
  uint32_t type = 0;
  uint32_t flags = 0;
  uint64_t fence_id = 0;
  uint32_t ctx_id = 0;
  uint8_t ring_idx = 0;
  std::array<uint8_t, 3> padding{};
};
static_assert(sizeof(Header) == 24);

struct Rect {
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t width = 0;
  uint32_t height = 0;
  friend bool operator==(const Rect&, const Rect&) = default;
};

// What follows the header.
struct CreateResource {
  uint32_t resource_id = 0;
  uint32_t format = 0;
  uint32_t width = 0;
  uint32_t height = 0;
};
struct ResourceId {  // unref, detach backing
  uint32_t resource_id = 0;
  uint32_t padding = 0;
};
struct SetScanout {
  Rect rect;
  uint32_t scanout_id = 0;
  uint32_t resource_id = 0;
};
struct Flush {
  Rect rect;
  uint32_t resource_id = 0;
  uint32_t padding = 0;
};
struct Transfer {
  Rect rect;
  uint64_t offset = 0;
  uint32_t resource_id = 0;
  uint32_t padding = 0;
};
struct AttachBacking {  // `entries` of these follow:
  uint32_t resource_id = 0;
  uint32_t entries = 0;
};
struct MemoryEntry {
  uint64_t address = 0;
  uint32_t length = 0;
  uint32_t padding = 0;
};
struct GetEdid {
  uint32_t scanout = 0;
  uint32_t padding = 0;
};
struct Cursor {
  uint32_t scanout_id = 0;
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t padding = 0;
  uint32_t resource_id = 0;
  uint32_t hot_x = 0;
  uint32_t hot_y = 0;
  uint32_t padding2 = 0;
};
static_assert(sizeof(Transfer) == 32 && sizeof(MemoryEntry) == 16 && sizeof(Cursor) == 32);

// Bodies of answers.
struct DisplayMode {
  Rect rect;
  uint32_t enabled = 0;
  uint32_t flags = 0;
};
using DisplayInfo = std::array<DisplayMode, kMaxScanouts>;
struct Edid {
  uint32_t size = 0;
  uint32_t padding = 0;
  std::array<std::byte, kMaxEdid> block{};
};
static_assert(sizeof(DisplayInfo) == 384 && sizeof(Edid) == 1032);

inline constexpr uint32_t kEventDisplay = 1;  // ask for the display info again

struct Config {
  uint32_t events_read = 0;
  uint32_t events_clear = 0;
  uint32_t num_scanouts = 0;
  uint32_t num_capsets = 0;
};

}  // namespace lodge::virtio_gpu
