// Commands that move data, a piece of a track at a time.
#include <algorithm>

#include "devices/floppy/controller.h"
#include "devices/floppy/registers.h"

namespace lodge {

using namespace floppy;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

// Places in a command that moves data, and in a format command.
enum Place : uint8_t { kCylinder = 2, kHead = 3, kFirstSector = 4, kSize = 5, kLastSector = 6, kCount = 8 };
constexpr size_t kFormatSize = 2;
constexpr size_t kFormatCount = 3;
constexpr size_t kFormatFill = 5;
constexpr size_t kIdBytes = 4;

bool is_write(uint8_t operation) { return operation == kWrite || operation == kWriteDeleted || operation == kFormat; }

}  // namespace

bool FloppyController::by_dma() const { return (s_.specify[1] & kNoDmaMode) == 0; }

const FloppyFormat* FloppyController::format() const {
  return unit() < kDrives && seats_.at(unit()).format ? &*seats_.at(unit()).format : nullptr;
}

// Why the drive finds no sector at all, or may not write.
std::optional<FloppyController::Outcome> FloppyController::medium_fault(bool write) const {
  const FloppyFormat* const disk = format();
  if (disk == nullptr || disk->rate != s_.rate || (byte(0) & kMfm) == 0 || s_.head >= disk->heads ||
      s_.drives.at(unit()).cylinder >= disk->cylinders) {
    return Outcome{.st0 = kAbnormal, .st1 = kMissingMark};
  }
  if (write && seats_.at(unit()).backend->info().read_only) {
    return Outcome{.st0 = kAbnormal, .st1 = kNotWritable};
  }
  return std::nullopt;
}

void FloppyController::start_transfer() {
  s_.head = byte(1) >> kHeadShift & 1;
  s_.ended = false;
  if ((s_.configuration & kImpliedSeek) != 0 && unit() < kDrives) {
    s_.drives.at(unit()).cylinder = byte(kCylinder);
    s_.drives.at(unit()).changed = s_.drives.at(unit()).changed && !seats_.at(unit()).backend;
  }
  if (const auto fault = medium_fault(is_write(operation()))) {
    finish(*fault);
    return;
  }
  if (byte(kCylinder) != s_.drives.at(unit()).cylinder) {
    finish({.st0 = kAbnormal, .st1 = kNoData, .st2 = kWrongCylinder});
    return;
  }
  if (byte(kHead) != s_.head || byte(kSize) != kSectorCode) {
    finish({.st0 = kAbnormal, .st1 = kNoData});
    return;
  }
  s_.sector = operation() == kReadTrack ? 1 : byte(kFirstSector);
  start_piece();
}

// From s_.sector on, to the end of the track or as far as the host wants.
void FloppyController::start_piece() {
  const unsigned last = std::min(byte(kLastSector), format()->sectors);
  if (s_.sector == 0 || s_.sector > format()->sectors) {
    finish({.st0 = kAbnormal, .st1 = kNoData});
    return;
  }
  unsigned count = std::max(last, unsigned{s_.sector}) - s_.sector + 1;
  const uint32_t wanted = dma_->left(kDmaChannel);
  if (by_dma() && wanted != 0 && operation() != kVerify) {
    count = std::min<unsigned>(count, (wanted + kSector - 1) / kSector);
  }
  if (operation() == kReadDeleted) {
    count = 1;
  }
  s_.count = static_cast<uint8_t>(count);
  s_.buffer.assign(size_t{count} * kSector, 0);
  s_.buffer_at = 0;
  if (is_write(operation())) {
    s_.phase = FloppyPhase::from_host;
    if (!by_dma()) {
      raise();
    }
    pump();
  } else {
    s_.phase = FloppyPhase::read_medium;
  }
}

void FloppyController::medium_read(std::vector<uint8_t> data) {
  if (operation() == kVerify) {
    piece_moved();
    return;
  }
  s_.buffer = std::move(data);
  s_.buffer_at = 0;
  s_.phase = FloppyPhase::to_host;
  if (!by_dma()) {
    raise();
  }
  pump();
}

void FloppyController::pump() {
  if (!by_dma() || (s_.output & kGate) == 0 || in_reset()) {
    return;
  }
  const auto rest = std::as_writable_bytes(std::span(s_.buffer)).subspan(std::min<size_t>(s_.buffer_at, s_.buffer.size()));
  if (s_.phase == FloppyPhase::to_host) {
    const IsaDma::Moved moved = dma_->to_memory(kDmaChannel, rest);
    s_.buffer_at += static_cast<uint32_t>(moved.bytes);
    s_.ended = moved.ended;
    if (s_.ended || s_.buffer_at == s_.buffer.size()) {
      buffer_taken();
    }
  } else if (s_.phase == FloppyPhase::from_host) {
    const IsaDma::Moved moved = dma_->from_memory(kDmaChannel, rest);
    s_.buffer_at += static_cast<uint32_t>(moved.bytes);
    s_.ended = moved.ended;
    if (s_.ended || s_.buffer_at == s_.buffer.size()) {
      buffer_filled();
    }
  }
}

void FloppyController::buffer_taken() {
  if (s_.ended) {
    s_.count = static_cast<uint8_t>((s_.buffer_at + kSector - 1) / kSector);
  }
  piece_moved();
}

// What the host did not fill of a sector is zero.
void FloppyController::buffer_filled() {
  if (operation() == kFormat) {
    format_track();
    return;
  }
  if (s_.ended) {
    s_.count = static_cast<uint8_t>((s_.buffer_at + kSector - 1) / kSector);
    s_.buffer.resize(size_t{s_.count} * kSector);
  }
  s_.phase = FloppyPhase::write_medium;
}

void FloppyController::medium_written() {
  if (operation() == kFormat) {
    finish({});
  } else {
    piece_moved();
  }
}

// The piece is where it belongs: the next one, or the end.
void FloppyController::piece_moved() {
  if (format() == nullptr || s_.count == 0) {  // the disk was taken out
    finish({.st0 = kAbnormal, .st1 = kMissingMark});
    return;
  }
  s_.sector = static_cast<uint8_t>(s_.sector + s_.count - 1);
  const bool last = s_.sector >= byte(kLastSector);
  const bool other_side =
      last && (byte(0) & kMultiTrack) != 0 && s_.head == 0 && format()->heads > 1 && operation() != kReadTrack;
  if (operation() == kReadDeleted) {
    advance_ids();
    finish({.st2 = kControlMark});
  } else if (s_.ended || (operation() == kVerify && last && !other_side)) {
    advance_ids();
    finish({});
  } else if (!last) {
    ++s_.sector;
    start_piece();
  } else if (other_side) {
    s_.head = 1;
    s_.sector = 1;
    s_.command.at(kHead) = 1;
    start_piece();
  } else {
    finish({.st0 = kAbnormal, .st1 = kEndOfCylinder});
  }
}

// The result names the sector after the last one (290474, table 5-3).
void FloppyController::advance_ids() {
  uint8_t& sector = s_.command.at(kFirstSector);
  sector = static_cast<uint8_t>(s_.sector + 1);
  if (s_.sector < byte(kLastSector)) {
    return;
  }
  sector = 1;
  if ((byte(0) & kMultiTrack) == 0) {
    ++s_.command.at(kCylinder);
  } else {
    s_.command.at(kHead) = s_.head ^ 1;
    s_.command.at(kCylinder) = static_cast<uint8_t>(byte(kCylinder) + s_.head);
  }
}

void FloppyController::finish(Outcome outcome) {
  const auto select = static_cast<uint8_t>((unsigned{s_.head} << kHeadShift) | unit());
  const bool has_ids = command_length(byte(0)) > kCount;
  std::vector<uint8_t> result{static_cast<uint8_t>(outcome.st0 | select),
                              outcome.st1,
                              outcome.st2,
                              byte(kCylinder),
                              byte(kHead),
                              byte(kFirstSector),
                              byte(kSize)};
  if (!has_ids) {
    result[3] = unit() < kDrives ? s_.drives.at(unit()).cylinder : 0;
    result[4] = s_.head;
    result[5] = 1;
    result[6] = kSectorCode;
  } else if (outcome.st0 != 0 && s_.sector != 0) {
    result[5] = s_.sector;
  }
  s_.buffer.clear();
  s_.buffer_at = 0;
  answer(std::move(result), true);
}

void FloppyController::start_format() {
  s_.head = byte(1) >> kHeadShift & 1;
  s_.ended = false;
  if (const auto fault = medium_fault(true)) {
    finish(*fault);
    return;
  }
  // An image has the tracks that it has.
  if (byte(kFormatSize) != kSectorCode || byte(kFormatCount) != format()->sectors) {
    finish({.st0 = kAbnormal, .st1 = kNotWritable});
    return;
  }
  s_.buffer.assign(size_t{byte(kFormatCount)} * kIdBytes, 0);
  s_.buffer_at = 0;
  s_.phase = FloppyPhase::from_host;
  if (!by_dma()) {
    raise();
  }
  pump();
}

// The buffer has the names that the sectors shall have: those that they have, in any order.
void FloppyController::format_track() {
  const uint8_t sectors = format() != nullptr ? format()->sectors : 0;
  uint64_t named = 0;
  for (size_t at = 0; at + kIdBytes <= s_.buffer.size(); at += kIdBytes) {
    const bool here = s_.buffer[at] == s_.drives.at(unit()).cylinder && s_.buffer[at + 1] == s_.head;
    const uint8_t sector = s_.buffer[at + 2];
    if (here && s_.buffer[at + 3] == kSectorCode && sector >= 1 && sector <= sectors) {
      named |= uint64_t{1} << (sector - 1);
    }
  }
  if (sectors == 0 || named != (uint64_t{1} << sectors) - 1) {
    finish({.st0 = kAbnormal, .st1 = kNotWritable});
    return;
  }
  s_.sector = 1;
  s_.count = sectors;
  s_.buffer.assign(size_t{sectors} * kSector, byte(kFormatFill));
  s_.buffer_at = 0;
  s_.phase = FloppyPhase::write_medium;
}

}  // namespace lodge
