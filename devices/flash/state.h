// The saved state of a NOR flash: where it is in a command, and its bytes when no file has them.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

// What reads give.
enum class FlashShows : uint8_t { array, status, identifier, query };
// What the next write is.
enum class FlashAwaits : uint8_t {
  command,
  program_data,
  erase_confirm,
  lock_operation,
  buffer_count,
  buffer_data,
  buffer_confirm
};

// A block that is not all ones.
struct FlashBlockState {
  uint32_t index = 0;
  std::vector<uint8_t> bytes;
  friend bool operator==(const FlashBlockState&, const FlashBlockState&) = default;
};

template <>
struct Schema<FlashBlockState> {
  using S = FlashBlockState;
  static constexpr std::string_view name = "nor-flash-block";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "index", &S::index), field(2, "bytes", &S::bytes)};
};

struct NorFlashState {
  FlashShows shows = FlashShows::array;
  FlashAwaits awaits = FlashAwaits::command;
  uint8_t errors = 0;           // of the status register
  bool ready = true;            // false: the next status that is read says "busy"
  uint32_t target = 0;          // where the command was written; of a buffer: its first byte
  uint32_t buffer_count = 0;    // bytes that a buffered write shall have
  std::vector<uint8_t> buffer;  // those that came
  bool has_contents = false;    // no file has them
  std::vector<FlashBlockState> contents;
  friend bool operator==(const NorFlashState&, const NorFlashState&) = default;
};

template <>
struct Schema<NorFlashState> {
  using S = NorFlashState;
  static constexpr std::string_view name = "nor-flash";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "shows", &S::shows),      field(2, "awaits", &S::awaits),
                                            field(3, "errors", &S::errors),    field(4, "ready", &S::ready),
                                            field(5, "target", &S::target),    field(6, "buffer-count", &S::buffer_count),
                                            field(7, "buffer", &S::buffer),    field(8, "has-contents", &S::has_contents),
                                            field(9, "contents", &S::contents)};
};

}  // namespace lodge
