// The display channel: what a monitor and a viewer (a program that shows the guest's screen to people and brings what they
// type) say to each other over an AF_UNIX SOCK_SEQPACKET pair. Little-endian structs of fixed size, one a packet, each
// beginning with its type. Both sides check what they get; either may close.
//
// The monitor begins with Hello, to which a memory file is attached that cannot shrink: pixels of 0x00RRGGBB, line by line
// without gaps, of the picture that the last Frame described. It draws only when it is asked (Refresh), and answers each
// with one Frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "base/fd.h"
#include "base/result.h"

namespace lodge::display {

inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kMaxPixels = 4096U * 4096;  // of a picture; the memory file has room for as many
inline constexpr size_t kPictureBytes = size_t{kMaxPixels} * sizeof(uint32_t);
inline constexpr uint32_t kMaxSide = 16384;
inline constexpr uint16_t kMaxKey = 0x2FF;  // KEY_MAX
inline constexpr uint16_t kMaxPosition = 0x7FFF;
inline constexpr int32_t kMaxStep = 0x7FFF;  // of a pointer, either way
inline constexpr uint8_t kAllButtons = 0x1F;
// A viewer may send as many in a second, and as many more once; who sends more is dropped.
inline constexpr uint32_t kInputsPerSecond = 20000;
inline constexpr uint32_t kRefreshesPerSecond = 200;

enum class Type : uint32_t {
  hello = 1,
  frame = 2,
  pointer = 3,
  refresh = 16,
  key = 17,
  move = 18,
  position = 19,
  size = 20
};

inline constexpr uint32_t kTakesSizes = 1;  // feature: the guest can be told of a Size

// From the monitor.
struct Hello {
  static constexpr Type kType = Type::hello;
  Type type = kType;
  uint32_t version = kVersion;
  uint32_t features = 0;  // kTakesSizes; others are to be ignored
};
struct Frame {
  static constexpr Type kType = Type::frame;
  Type type = kType;
  uint32_t serial = 0;  // of the Refresh
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t first = 0;  // lines [first, last) have changed
  uint32_t last = 0;
  uint32_t resized = 0;  // 1: so has the size
};
struct Pointer {
  static constexpr Type kType = Type::pointer;
  Type type = kType;
  uint32_t absolute = 0;  // 1: the guest wants Position, not Move
};

// From the viewer.
struct Refresh {
  static constexpr Type kType = Type::refresh;
  Type type = kType;
  uint32_t serial = 0;
};
struct Key {
  static constexpr Type kType = Type::key;
  Type type = kType;
  uint16_t code = 0;  // KEY_* of linux/input-event-codes.h
  uint16_t down = 0;
};
struct Move {  // PointerSink's
  static constexpr Type kType = Type::move;
  Type type = kType;
  int32_t right = 0;
  int32_t down = 0;
  int32_t wheel = 0;
  uint32_t buttons = 0;
};
struct Position {
  static constexpr Type kType = Type::position;
  Type type = kType;
  uint16_t x = 0;  // of kMaxPosition
  uint16_t y = 0;
  int32_t wheel = 0;
  uint32_t buttons = 0;
};
struct Size {  // that the viewer would like; a Frame tells when the guest has heeded it
  static constexpr Type kType = Type::size;
  Type type = kType;
  uint32_t width = 0;
  uint32_t height = 0;
};
static_assert(sizeof(Size) == 12);
static_assert(sizeof(Hello) == 12 && sizeof(Frame) == 28 && sizeof(Pointer) == 8);
static_assert(sizeof(Refresh) == 8 && sizeof(Key) == 8 && sizeof(Move) == 20 && sizeof(Position) == 16);
inline constexpr size_t kMaxPacket = 64;  // more than any has

using FromMonitor = std::variant<Hello, Frame, Pointer>;
using FromViewer = std::variant<Refresh, Key, Move, Position, Size>;

// A packet's meaning, all of it checked. Error: what is wrong.
[[nodiscard]] Result<FromMonitor> parse_from_monitor(std::span<const std::byte> packet);
[[nodiscard]] Result<FromViewer> parse_from_viewer(std::span<const std::byte> packet);

// Whether a picture can have this size.
[[nodiscard]] bool is_size(uint32_t width, uint32_t height);

template <class Packet>
[[nodiscard]] std::span<const std::byte> bytes_of(const Packet& packet) {
  return std::as_bytes(std::span(&packet, 1));
}

// Sends a packet, with a descriptor if there is one, and never waits. Error (EAGAIN): the other end does not read.
[[nodiscard]] Result<void> send_packet(int socket, std::span<const std::byte> packet, int descriptor = -1);

// One packet, if one is there.
struct Received {
  size_t size = 0;  // as it was sent; 0: the other end is closed
  Fd descriptor;    // the first that came; others are closed
};
// `buffer` takes the packet; nothing: none waits. Error: the socket is broken.
[[nodiscard]] Result<std::optional<Received>> receive_packet(int socket, std::span<std::byte> buffer);

}  // namespace lodge::display
