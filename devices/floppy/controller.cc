// Registers, resets and the saved state.
#include "devices/floppy/controller.h"

#include "devices/floppy/registers.h"

namespace lodge {

using namespace floppy;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr uint64_t kFirstPorts = 6;
constexpr uint8_t kAllDrives = 0x0F;
constexpr size_t kMaxBuffer = 64 * 1024;
constexpr size_t kMaxCommand = 32;

}  // namespace

Result<std::unique_ptr<FloppyController>> FloppyController::create(Options options, const DeviceEnv& env,
                                                                   const StateReader* saved) {
  std::unique_ptr<FloppyController> self(new FloppyController(env));
  for (Drive& drive : options.drives) {
    TRY_VOID(self->attach(std::move(drive)));
  }
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  } else {
    self->dma_ = TRY(IsaDma::create(env, nullptr));
    self->reset();
  }
  FloppyController* const controller = self.get();
  self->dma_->on_ready(kDmaChannel, [controller] {
    {
      const Lock lock(controller->mutex_);
      controller->pump();
    }
    controller->wake();
  });
  self->mappings_[0] = TRY(env.pio.add(kPorts, kFirstPorts, "floppy", unowned(self->ports_)));
  self->mappings_[1] = TRY(env.pio.add(kDirPort, 1, "floppy", unowned(self->input_port_)));
  return self;
}

Result<void> FloppyController::attach(Drive drive) {
  if (drive.unit >= kDrives || seats_.at(drive.unit).kind != FloppyDriveKind::none) {
    return fail("'{}': floppy drive {} is not there or taken; there are {}", drive.id, drive.unit + 1, kDrives);
  }
  Seat& seat = seats_.at(drive.unit);
  std::optional<FloppyFormat> format;
  if (drive.backend) {
    format = TRY_CONTEXT(floppy_format(drive.backend->info().size), drive.backend->info().description);
  }
  seat.id = std::move(drive.id);
  seat.kind = drive.kind != FloppyDriveKind::none ? drive.kind : drive_for(format);
  if (drive.backend) {
    TRY_VOID(check_medium(drive.unit, drive.backend->info()));
  }
  seat.format = format;
  seat.backend = std::move(drive.backend);
  seat.errors = drive.errors;
  seat.on_io_error = std::move(drive.on_io_error);
  return {};
}

Result<void> FloppyController::check_medium(size_t unit, const BlockInfo& info) const {
  const FloppyFormat format = TRY_CONTEXT(floppy_format(info.size), info.description);
  const Seat& seat = seats_.at(unit);
  if (!can_read(seat.kind, format)) {
    return fail("{}: a disk of {} KiB does not go into drive '{}', which is for {}", info.description, format.kib, seat.id,
                seat.kind == FloppyDriveKind::inch5_1200 ? "5.25\" disks" : "3.5\" disks of up to 1680 KiB");
  }
  return {};
}

// A guest may have written it: nothing in it may lead out of bounds.
Result<void> FloppyController::load(const StateReader& saved) {
  const auto dma = TRY(saved.get<IsaDmaState>("floppy"));
  dma_ = TRY(IsaDma::create(env_, &dma));
  auto state = TRY(saved.get<FloppyState>("floppy"));
  if (static_cast<uint8_t>(state.phase) >= kFloppyPhases || state.drives.size() != kDrives ||
      state.buffer.size() > kMaxBuffer || state.buffer_at > state.buffer.size() || state.command.size() > kMaxCommand ||
      state.result.size() > kMaxCommand || state.head > 1) {
    return fail("the saved floppy controller is not one");
  }
  const bool moving = state.phase != FloppyPhase::command && state.phase != FloppyPhase::result;
  if (moving && (state.command.empty() || state.command.size() < command_length(state.command[0]) ||
                 command_length(state.command[0]) < command_length(kFormat))) {
    return fail("the saved floppy controller moves data without a command");
  }
  const Lock lock(mutex_);
  s_ = std::move(state);
  update_line();
  return {};
}

void FloppyController::save(StateWriter& out) const {
  out.put("floppy", dma_->state());
  const Lock lock(mutex_);
  out.put("floppy", s_);
}

// Quiet, so the loop has nothing of it.
void FloppyController::reset() {
  dma_->reset();
  const Lock lock(mutex_);
  s_ = {};
  halted_ = false;
  abandoned_ = false;
  update_line();
}

std::optional<size_t> FloppyController::find(std::string_view id) const {
  for (size_t unit = 0; unit < kDrives; ++unit) {
    if (seats_.at(unit).kind != FloppyDriveKind::none && seats_.at(unit).id == id) {
      return unit;
    }
  }
  return std::nullopt;
}

BlockInfo FloppyController::medium(size_t unit) const {
  const Lock lock(mutex_);
  return seats_.at(unit).backend ? seats_.at(unit).backend->info() : BlockInfo{};
}

std::vector<Counter> FloppyController::drive_counters(size_t unit) const {
  const BlockCounters* const counters = &seats_.at(unit).counters;
  return counter_list({&counters, 1}, warnings_.count());
}

void FloppyController::update_line() { irq_.set(s_.interrupt && (s_.output & kGate) != 0); }

void FloppyController::raise() {
  s_.interrupt = true;
  update_line();
}

void FloppyController::lower() {
  s_.interrupt = false;
  update_line();
}

bool FloppyController::in_reset() const { return (s_.output & kNotReset) == 0; }

// What a reset does to the chip; the drives' heads stay where they are.
void FloppyController::reset_chip() {
  if (!s_.locked) {
    s_.configuration = kNoFifo;
    s_.precompensation = 0;
  }
  s_.perpendicular &= static_cast<uint8_t>(~3U);
  s_.phase = FloppyPhase::command;
  s_.command.clear();
  s_.result.clear();
  s_.buffer.clear();
  s_.buffer_at = 0;
  s_.ended = false;
  s_.sense_pending = 0;
  halted_ = false;
  abandoned_ = in_flight_;
  lower();
}

// The chip polls the drives once and says so (290474, 5.1).
void FloppyController::leave_reset() {
  if ((s_.configuration & kNoPolling) != 0) {
    return;
  }
  for (size_t i = 0; i < s_.sense.size(); ++i) {
    s_.sense.at(i) = static_cast<uint8_t>(kPolled | i);
  }
  s_.sense_pending = kAllDrives;
  raise();
}

void FloppyController::write_output(uint8_t value) {
  const bool was_in_reset = in_reset();
  s_.output = value;
  if (in_reset()) {
    reset_chip();
  } else if (was_in_reset) {
    leave_reset();
  }
  update_line();
}

uint8_t FloppyController::main_status() const {
  if (in_reset()) {
    return 0;
  }
  const uint8_t busy = s_.phase != FloppyPhase::command || !s_.command.empty() ? kBusy : 0;
  switch (s_.phase) {
    case FloppyPhase::command: return kRequest | busy;
    case FloppyPhase::to_host: return by_dma() ? busy : kRequest | kToHost | kNonDma | busy;
    case FloppyPhase::from_host: return by_dma() ? busy : kRequest | kNonDma | busy;
    case FloppyPhase::result: return kRequest | kToHost | busy;
    default: return busy;
  }
}

uint8_t FloppyController::digital_input() const {
  const size_t unit = s_.output & kSelect;
  const bool turning = (s_.output & (kFirstMotor << unit)) != 0;
  const bool there = unit < kDrives && seats_.at(unit).kind != FloppyDriveKind::none;
  return there && turning && s_.drives.at(unit).changed ? kDiskChanged : 0;
}

uint8_t FloppyController::read_fifo() {
  if (in_reset()) {
    return 0;
  }
  if (s_.phase == FloppyPhase::result) {
    lower();
    if (s_.result.empty()) {
      s_.phase = FloppyPhase::command;
      return 0;
    }
    const uint8_t value = s_.result.front();
    s_.result.erase(s_.result.begin());
    if (s_.result.empty()) {
      s_.phase = FloppyPhase::command;
    }
    return value;
  }
  if (s_.phase == FloppyPhase::to_host && !by_dma() && s_.buffer_at < s_.buffer.size()) {
    lower();
    const uint8_t value = s_.buffer[s_.buffer_at++];
    if (s_.buffer_at == s_.buffer.size()) {
      buffer_taken();
    }
    return value;
  }
  return 0;
}

void FloppyController::write_fifo(uint8_t value) {
  if (in_reset()) {
    return;
  }
  if (s_.phase == FloppyPhase::command) {
    s_.command.push_back(value);
    if (command_is_whole()) {
      run_command();
    }
  } else if (s_.phase == FloppyPhase::from_host && !by_dma() && s_.buffer_at < s_.buffer.size()) {
    lower();
    s_.buffer[s_.buffer_at++] = value;
    if (s_.buffer_at == s_.buffer.size()) {
      buffer_filled();
    }
  }
}

uint8_t FloppyController::read_port(uint64_t port) {
  const Lock lock(mutex_);
  const size_t unit = s_.output & kSelect;
  const bool there = unit < kDrives && seats_.at(unit).kind != FloppyDriveKind::none;
  switch (port) {
    case kStatusA: {  // interrupt, no second drive, track 0, head, index, write protection; the last three are low-active
      const bool at_0 = there && s_.drives.at(unit).cylinder == 0;
      const bool read_only = there && seats_.at(unit).backend && seats_.at(unit).backend->info().read_only;
      return static_cast<uint8_t>((s_.interrupt ? 0x80 : 0) | (seats_[1].kind == FloppyDriveKind::none ? 0x40 : 0) |
                                  (at_0 ? 0 : 0x10) | (s_.head != 0 ? 0x08 : 0) | 0x04 | (read_only ? 0 : 0x02));
    }
    case kStatusB: return static_cast<uint8_t>(0xC0 | (s_.output & 1 ? 0x20 : 0) | (s_.output >> 4 & 3));
    case kDigitalOutput: return s_.output;
    case kTapeDrive: return s_.tape_drive;
    case kMainStatus: return main_status();
    case kFifo: return read_fifo();
    case kDirPort - kPorts: return digital_input();
    default: return 0xFF;
  }
}

void FloppyController::write_port(uint64_t port, uint8_t value) {
  const Lock lock(mutex_);
  switch (port) {
    case kDigitalOutput: write_output(value); break;
    case kTapeDrive: s_.tape_drive = value & 3; break;
    case kDataRateSelect:
      s_.rate = value & kRate;
      if ((value & kSoftReset) != 0 && !in_reset()) {
        reset_chip();
        leave_reset();
      }
      break;
    case kFifo: write_fifo(value); break;
    case kDirPort - kPorts: s_.rate = value & kRate; break;
    default: break;
  }
}

uint64_t FloppyController::Ports::io_read(IoAccess access) {
  uint64_t value = 0;
  for (size_t i = 0; i < access.size; ++i) {
    value |= uint64_t{owner_.read_port(first_ + access.offset + i)} << (8 * i);
  }
  owner_.wake();
  return value;
}

void FloppyController::Ports::io_write(IoAccess access, uint64_t value) {
  for (size_t i = 0; i < access.size; ++i) {
    owner_.write_port(first_ + access.offset + i, static_cast<uint8_t>(value >> (8 * i)));
  }
  owner_.wake();
}

}  // namespace lodge
