// The command phase: what is collected, what runs, and the answers of commands that move no data.
#include <algorithm>

#include "devices/floppy/controller.h"
#include "devices/floppy/registers.h"

namespace lodge {

using namespace floppy;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr size_t kSavedBytes = 16;
constexpr uint8_t kLastSpecification = 0x80;  // drive specification: the byte that ends it
constexpr uint8_t kNoResult = 0x40;           //   and no result is wanted
constexpr size_t kMaxSpecifications = 4;

constexpr uint8_t bit(size_t n) { return static_cast<uint8_t>(1U << n); }

// Of a first byte: the command without the options that it may have; 0 (which is none): invalid.
uint8_t command_of(uint8_t first) {
  switch (first) {
    case kDriveSpecification:
    case kSaveState:
    case kOption:
    case kRestoreState:
    case kSpecify:
    case kSenseDrive:
    case kRecalibrate:
    case kSenseInterrupt:
    case kDumpRegisters:
    case kSeek:
    case kVersion:
    case kPerpendicular:
    case kConfigure:
    case kPowerDown:
    case kPartId:
    case kLock: return first;
    case kLock | kLockOn: return kLock;
    case kRelativeSeek | kUpwards: return kRelativeSeek;
    case kRelativeSeek: return first;
    default: break;
  }
  const auto plain = static_cast<uint8_t>(first & kCommandMask);
  switch (plain) {
    case kRead:
    case kReadDeleted:
    case kVerify: return plain;
    case kWrite:
    case kWriteDeleted: return (first & 0x20) == 0 ? plain : 0;
    case kReadTrack:
    case kReadId:
    case kFormat: return (first & 0xA0) == 0 ? plain : 0;
    default: return 0;
  }
}

}  // namespace

uint8_t FloppyController::operation() const { return command_of(byte(0)); }

size_t FloppyController::command_length(uint8_t first) {
  switch (command_of(first)) {
    case kRead:
    case kReadDeleted:
    case kWrite:
    case kWriteDeleted:
    case kReadTrack:
    case kVerify: return 9;
    case kFormat: return 6;
    case kConfigure: return 4;
    case kSpecify:
    case kSeek:
    case kRelativeSeek: return 3;
    case kReadId:
    case kRecalibrate:
    case kSenseDrive:
    case kPerpendicular:
    case kPowerDown:
    case kOption: return 2;
    case kRestoreState: return 1 + kSavedBytes;
    case kDriveSpecification: return 1 + kMaxSpecifications + 1;
    default: return 1;
  }
}

bool FloppyController::command_is_whole() const {
  if (s_.command.size() > 1 && byte(0) == kDriveSpecification && (s_.command.back() & kLastSpecification) != 0) {
    return true;
  }
  return s_.command.size() >= command_length(byte(0));
}

void FloppyController::answer(std::vector<uint8_t> result, bool interrupt) {
  s_.command.clear();
  s_.result = std::move(result);
  s_.phase = FloppyPhase::result;
  if (interrupt) {
    raise();
  }
}

void FloppyController::done_without_result() {
  s_.command.clear();
  s_.phase = FloppyPhase::command;
}

void FloppyController::run_command() {
  switch (operation()) {
    case kRead:
    case kReadDeleted:
    case kReadTrack:
    case kVerify:
    case kWrite:
    case kWriteDeleted: start_transfer(); break;
    case kFormat: start_format(); break;
    case kReadId: read_id(); break;
    case kSpecify:
      s_.specify = {byte(1), byte(2)};
      done_without_result();
      break;
    case kRecalibrate: seek(unit(), 0); break;
    case kSeek: seek(unit(), byte(2)); break;
    case kRelativeSeek: {
      const int from = unit() < kDrives ? s_.drives.at(unit()).cylinder : 0;
      const int to = (byte(0) & kUpwards) != 0 ? from + byte(2) : from - byte(2);
      seek(unit(), static_cast<uint8_t>(std::clamp(to, 0, 255)));
      break;
    }
    case kSenseInterrupt: sense_interrupt(); break;
    case kSenseDrive: sense_drive(); break;
    case kDumpRegisters: dump_registers(); break;
    case kVersion: answer({kVersionByte}, false); break;
    case kPartId: answer({kPartByte}, false); break;
    case kConfigure: configure(); break;
    case kPerpendicular:
      s_.perpendicular = byte(1) & 0x7F;
      done_without_result();
      break;
    case kLock:
      s_.locked = (byte(0) & kLockOn) != 0;
      answer({static_cast<uint8_t>(s_.locked ? 0x10 : 0)}, false);
      break;
    case kPowerDown: answer({byte(1)}, false); break;
    case kOption: done_without_result(); break;
    case kDriveSpecification:
      if ((s_.command.back() & kNoResult) != 0) {
        done_without_result();
      } else {
        answer(std::vector<uint8_t>(kMaxSpecifications), false);
      }
      break;
    case kSaveState: save_state(); break;
    case kRestoreState: restore_state(); break;
    default: answer({kInvalid}, false); break;
  }
}

void FloppyController::seek(size_t unit, uint8_t cylinder) {
  const auto select = static_cast<uint8_t>(byte(1) & 7);
  const bool there = unit < kDrives && seats_.at(unit).kind != FloppyDriveKind::none;
  if (there) {
    FloppyDriveState& drive = s_.drives.at(unit);
    drive.cylinder = cylinder;
    drive.rotation = 0;
    drive.changed = drive.changed && !seats_.at(unit).backend;
  }
  const bool no_track_0 = !there && operation() == kRecalibrate;
  step_end(unit, static_cast<uint8_t>(kSeekEnd | select | (no_track_0 ? kAbnormal | kEquipmentCheck : 0)));
}

void FloppyController::step_end(size_t unit, uint8_t st0) {
  s_.sense.at(unit) = st0;
  s_.sense_pending |= bit(unit);
  done_without_result();
  raise();
}

void FloppyController::sense_interrupt() {
  lower();
  for (size_t unit = 0; unit < s_.sense.size(); ++unit) {
    if ((s_.sense_pending & bit(unit)) != 0) {
      s_.sense_pending &= static_cast<uint8_t>(~bit(unit));
      answer({s_.sense.at(unit), unit < kDrives ? s_.drives.at(unit).cylinder : uint8_t{0}}, false);
      return;
    }
  }
  answer({kInvalid}, false);
}

void FloppyController::sense_drive() {
  auto st3 = static_cast<uint8_t>(kReady | (byte(1) & 7));
  if (unit() < kDrives) {
    const Seat& seat = seats_.at(unit());
    const bool at_0 = seat.kind != FloppyDriveKind::none && s_.drives.at(unit()).cylinder == 0;
    st3 |= seat.backend && seat.backend->info().read_only ? kProtected : uint8_t{0};
    st3 |= at_0 ? kTrack0 : uint8_t{0};
  }
  answer({st3}, false);
}

void FloppyController::dump_registers() {
  answer({s_.drives[0].cylinder, s_.drives[1].cylinder, 0, 0, s_.specify[0], s_.specify[1], s_.count,
          static_cast<uint8_t>((s_.locked ? 0x80 : 0) | s_.perpendicular), s_.configuration, s_.precompensation},
         false);
}

// What `restore` takes is what `save` gave; nobody else reads it.
void FloppyController::save_state() {
  std::vector<uint8_t> saved(kSavedBytes);
  saved[0] = s_.specify[0];
  saved[1] = s_.specify[1];
  saved[2] = s_.configuration;
  saved[3] = s_.precompensation;
  saved[4] = s_.perpendicular;
  saved[5] = s_.locked ? 1 : 0;
  answer(std::move(saved), false);
}

void FloppyController::restore_state() {
  s_.specify = {byte(1), byte(2)};
  s_.configuration = byte(3);
  s_.precompensation = byte(4);
  s_.perpendicular = byte(5) & 0x7F;
  s_.locked = (byte(6) & 1) != 0;
  done_without_result();
}

void FloppyController::configure() {
  s_.configuration = byte(2);
  s_.precompensation = byte(3);
  done_without_result();
}

// Whichever sector comes by.
void FloppyController::read_id() {
  s_.head = byte(1) >> kHeadShift & 1;
  if (const auto fault = medium_fault(false)) {
    finish(*fault);
    return;
  }
  FloppyDriveState& drive = s_.drives.at(unit());
  const auto status = static_cast<uint8_t>(byte(1) & 7);
  const uint8_t cylinder = drive.cylinder;
  const auto sector = static_cast<uint8_t>(drive.rotation % format()->sectors + 1);
  drive.rotation = sector;
  answer({status, 0, 0, cylinder, s_.head, sector, kSectorCode}, true);
}

}  // namespace lodge
