// The saved state of the IDE controller: what a guest can see, and how far a command has come. Nothing is in flight then.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

// What a drive is at.
enum class IdePhase : uint8_t {
  idle,
  data_in,   // the host reads the buffer
  data_out,  // the host fills it
  packet,    // the host writes a packet command
  read,      // the medium is to fill the buffer
  write,     // the buffer is to go to the medium
  flush,
  dma,  // the bus master moves data between memory and medium, or out of the buffer
};
inline constexpr uint8_t kIdePhases = 8;

struct IdeTaskFile {
  uint8_t feature = 0;
  uint8_t count = 0;
  uint8_t low = 0;
  uint8_t mid = 0;
  uint8_t high = 0;
  friend bool operator==(const IdeTaskFile&, const IdeTaskFile&) = default;
};

struct IdeDriveState {
  IdeTaskFile task;
  IdeTaskFile previous;  // what stood there before, for 48-bit commands
  uint8_t device = 0;
  uint8_t status = 0;
  uint8_t error = 0;
  bool interrupt = false;
  IdePhase phase = IdePhase::idle;
  bool to_host = false;
  bool reply = false;     // the data is an answer in the buffer, not of the medium
  bool durable = false;   // a write that is on the medium when it is done
  uint64_t position = 0;  // on the medium, in sectors of 512 bytes
  uint32_t left = 0;      // sectors that the command has still to move
  uint32_t block = 512;   // bytes the host moves at a time
  uint32_t at = 0;        // in the buffer
  uint32_t block_end = 0;
  std::vector<uint8_t> buffer;
  uint8_t multiple = 0;
  uint8_t heads = 16;  // of the host's idea of cylinders, heads and sectors
  uint8_t sectors = 63;
  uint8_t transfer_mode = 0;
  bool write_cache = true;
  bool smart = true;
  // Packet devices.
  uint8_t sense_key = 0;
  uint8_t sense_code = 0;
  uint8_t sense_qualifier = 0;
  bool changed = false;  // the medium is another than the guest knows
  uint8_t media_event = 0;
  bool locked = false;
  bool tray_open = false;
  friend bool operator==(const IdeDriveState&, const IdeDriveState&) = default;
};

// Where the bus master is in its table.
struct IdeMasterCursor {
  uint32_t entry = 0;  // the next one
  uint32_t at = 0;     // what is left of the last one
  uint32_t left = 0;
  bool ended = false;  // there are no more
  friend bool operator==(const IdeMasterCursor&, const IdeMasterCursor&) = default;
};

// A channel; its drives have records of their own.
struct IdeChannelState {
  uint8_t control = 0;
  uint8_t selected = 0;
  uint8_t master_command = 0;
  uint8_t master_status = 0;
  uint32_t master_table = 0;
  IdeMasterCursor cursor;
  friend bool operator==(const IdeChannelState&, const IdeChannelState&) = default;
};

struct IdeState {
  std::array<uint8_t, 5> timing{};  // registers 0x40 to 0x44
  friend bool operator==(const IdeState&, const IdeState&) = default;
};

template <>
struct Schema<IdeTaskFile> {
  using S = IdeTaskFile;
  static constexpr std::string_view name = "ide-task-file";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "feature", &S::feature), field(2, "count", &S::count),
                                            field(3, "low", &S::low), field(4, "mid", &S::mid), field(5, "high", &S::high)};
};

template <>
struct Schema<IdeDriveState> {
  using S = IdeDriveState;
  static constexpr std::string_view name = "ide-drive";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "task", &S::task),
                                            field(2, "previous", &S::previous),
                                            field(3, "device", &S::device),
                                            field(4, "status", &S::status),
                                            field(5, "error", &S::error),
                                            field(6, "interrupt", &S::interrupt),
                                            field(7, "phase", &S::phase),
                                            field(8, "to-host", &S::to_host),
                                            field(9, "reply", &S::reply),
                                            field(10, "durable", &S::durable),
                                            field(11, "position", &S::position),
                                            field(12, "left", &S::left),
                                            field(13, "block", &S::block),
                                            field(14, "at", &S::at),
                                            field(15, "block-end", &S::block_end),
                                            field(16, "buffer", &S::buffer),
                                            field(17, "multiple", &S::multiple),
                                            field(18, "heads", &S::heads),
                                            field(19, "sectors", &S::sectors),
                                            field(20, "transfer-mode", &S::transfer_mode),
                                            field(21, "write-cache", &S::write_cache),
                                            field(22, "smart", &S::smart),
                                            field(23, "sense-key", &S::sense_key),
                                            field(24, "sense-code", &S::sense_code),
                                            field(25, "sense-qualifier", &S::sense_qualifier),
                                            field(26, "changed", &S::changed),
                                            field(27, "media-event", &S::media_event),
                                            field(28, "locked", &S::locked),
                                            field(29, "tray-open", &S::tray_open)};
};

template <>
struct Schema<IdeMasterCursor> {
  using S = IdeMasterCursor;
  static constexpr std::string_view name = "ide-master-cursor";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "entry", &S::entry), field(2, "at", &S::at), field(3, "left", &S::left),
                                            field(4, "ended", &S::ended)};
};

template <>
struct Schema<IdeChannelState> {
  using S = IdeChannelState;
  static constexpr std::string_view name = "ide-channel";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "control", &S::control),
                                            field(2, "selected", &S::selected),
                                            field(3, "master-command", &S::master_command),
                                            field(4, "master-status", &S::master_status),
                                            field(5, "master-table", &S::master_table),
                                            field(6, "cursor", &S::cursor)};
};

template <>
struct Schema<IdeState> {
  static constexpr std::string_view name = "ide";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "timing", &IdeState::timing)};
};

}  // namespace lodge
