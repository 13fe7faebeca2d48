// The saved state of the floppy controller: what a guest can see, and how far a command has come. Nothing is in flight then.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

enum class FloppyPhase : uint8_t {
  command,
  read_medium,   // the buffer is to be filled from the medium
  to_host,       // the host takes the buffer
  from_host,     // the host fills the buffer
  write_medium,  // the buffer is to go to the medium
  result,
};
inline constexpr uint8_t kFloppyPhases = 6;

struct FloppyDriveState {
  uint8_t cylinder = 0;
  bool changed = true;   // until the heads move with a disk in the drive
  uint8_t rotation = 0;  // the sector that comes by next, from 0
  friend bool operator==(const FloppyDriveState&, const FloppyDriveState&) = default;
};

struct FloppyState {
  uint8_t output = 0;  // digital output register
  uint8_t tape_drive = 0;
  uint8_t rate = 2;
  std::array<uint8_t, 2> specify{};
  uint8_t configuration = 0x20;  // no FIFO
  uint8_t precompensation = 0;
  uint8_t perpendicular = 0;
  bool locked = false;
  bool interrupt = false;
  FloppyPhase phase = FloppyPhase::command;
  std::vector<uint8_t> command;
  std::vector<uint8_t> result;  // what is left of it
  std::vector<uint8_t> buffer;
  uint32_t buffer_at = 0;
  uint8_t head = 0;    // the piece of a track that is moved now
  uint8_t sector = 0;  // its first, from 1
  uint8_t count = 0;
  bool ended = false;         // the host has said that it is the last
  uint8_t sense_pending = 0;  // by drive
  std::array<uint8_t, 4> sense{};
  std::vector<FloppyDriveState> drives = std::vector<FloppyDriveState>(2);
  friend bool operator==(const FloppyState&, const FloppyState&) = default;
};

template <>
struct Schema<FloppyDriveState> {
  using S = FloppyDriveState;
  static constexpr std::string_view name = "floppy-drive";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "cylinder", &S::cylinder), field(2, "changed", &S::changed), field(3, "rotation", &S::rotation)};
};

template <>
struct Schema<FloppyState> {
  using S = FloppyState;
  static constexpr std::string_view name = "floppy";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "output", &S::output),
                                            field(2, "tape-drive", &S::tape_drive),
                                            field(3, "rate", &S::rate),
                                            field(4, "specify", &S::specify),
                                            field(5, "configuration", &S::configuration),
                                            field(6, "precompensation", &S::precompensation),
                                            field(7, "perpendicular", &S::perpendicular),
                                            field(8, "locked", &S::locked),
                                            field(9, "interrupt", &S::interrupt),
                                            field(10, "phase", &S::phase),
                                            field(11, "command", &S::command),
                                            field(12, "result", &S::result),
                                            field(13, "buffer", &S::buffer),
                                            field(14, "buffer-at", &S::buffer_at),
                                            field(15, "head", &S::head),
                                            field(16, "sector", &S::sector),
                                            field(17, "count", &S::count),
                                            field(18, "ended", &S::ended),
                                            field(19, "sense-pending", &S::sense_pending),
                                            field(20, "sense", &S::sense),
                                            field(21, "drives", &S::drives)};
};

}  // namespace lodge
