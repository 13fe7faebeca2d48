#include "devices/ide/channel.h"

#include <algorithm>

#include "base/units.h"

namespace lodge {

using namespace ide;  // NOLINT(google-build-using-namespace): the names of the documents

namespace {

constexpr uint64_t kMaxDma = kMiB;        // in one request
constexpr size_t kMaxSegments = 1024;     // as many pieces as an iovec list may have
constexpr uint32_t kTableEntries = 8192;  // a table lies within 64 KiB
constexpr uint32_t kEndOfTable = 1U << 31;

}  // namespace

Result<void> IdeChannel::load(const IdeChannelState& saved) {
  if (saved.selected >= kDrives || saved.cursor.entry > kTableEntries || saved.cursor.left > 0x10000) {
    return fail("saved state of an IDE channel is damaged");
  }
  const Lock lock(mutex_);
  state_ = saved;
  update_interrupt();
  state_.master_status = saved.master_status;  // the interrupt is no new one
  return {};
}

void IdeChannel::update_interrupt() {
  const IdeDrive* drive = selected();
  const bool level = drive != nullptr && drive->interrupt() && (state_.control & kNoInterrupt) == 0;
  if (level && !level_) {
    state_.master_status |= kMasterInterrupt;
  }
  if (std::exchange(level_, level) != level) {
    irq_.set(level);
  }
  tell_expected_data();
}

void IdeChannel::tell_expected_data() {
  if (on_expected_data && selected() != nullptr && selected()->expects_data()) {
    on_expected_data();
  }
}

bool IdeChannel::expects_data() const {
  const Lock lock(mutex_);
  const IdeDrive* const drive = selected();
  return drive != nullptr && drive->expects_data();
}

uint64_t IdeChannel::read_command(IoAccess access) {
  bool more = false;
  uint64_t value = 0;
  {
    const Lock lock(mutex_);
    IdeDrive* drive = selected();
    if (drive == nullptr) {
      return 0;  // nobody, or the master in the name of a slave that is not there
    }
    if (access.offset == kData) {
      value = drive->read_data(access.size);
      more = drive->next_io().has_value();
    } else {
      value = drive->read(access.offset, (state_.control & kHighOrder) != 0);
      if (access.offset == kStatus) {
        drive->acknowledge();
      }
    }
    update_interrupt();
  }
  if (more) {
    wake();
  }
  return value;
}

void IdeChannel::write_command(IoAccess access, uint64_t value) {
  {
    const Lock lock(mutex_);
    if (access.offset == kData) {
      IdeDrive* drive = selected();
      if (drive == nullptr) {
        return;
      }
      drive->write_data(static_cast<uint32_t>(value), access.size);
      update_interrupt();
      if (!drive->next_io().has_value() && !drive->wants_dma()) {
        return;
      }
    } else if (access.offset == kStatus) {
      start_command(static_cast<uint8_t>(value));
      update_interrupt();
    } else {
      state_.control &= static_cast<uint8_t>(~kHighOrder);
      for (const auto& drive : drives_) {  // both hear it
        if (drive) {
          drive->write(access.offset, static_cast<uint8_t>(value));
        }
      }
      if (access.offset == kDevice) {
        state_.selected = (value & kDeviceSecond) != 0 ? 1 : 0;
        update_interrupt();
      }
      return;
    }
  }
  wake();
}

void IdeChannel::start_command(uint8_t code) {
  state_.control &= static_cast<uint8_t>(~kHighOrder);
  IdeDrive* drive = selected();
  if (code == kCmdDiagnostic) {  // for both, whichever is selected
    for (size_t unit = 0; unit < kDrives; ++unit) {
      if (drives_[unit] && !seats_[unit].in_flight && (drives_[unit]->read(kStatus, false) & kBsy) == 0) {
        drives_[unit]->diagnosed();
      }
    }
    state_.selected = 0;
    return;
  }
  if (drive == nullptr) {
    return;
  }
  const bool busy = seats_[state_.selected].in_flight || (drive->read(kStatus, false) & kBsy) != 0;
  if (code == kCmdDeviceReset && drive->cdrom() && busy) {  // the one that a busy drive takes
    seats_[state_.selected].reset_waits = seats_[state_.selected].in_flight;
    if (!seats_[state_.selected].in_flight) {
      drive->reset(IdeDrive::Reset::soft);
    }
    return;
  }
  if (!busy) {
    drive->command(code);
  }
}

uint8_t IdeChannel::read_alternate_status() {
  const Lock lock(mutex_);
  const IdeDrive* drive = selected();
  return drive != nullptr ? drive->read(kStatus, false) : 0;
}

void IdeChannel::write_control(uint8_t value) {
  const Lock lock(mutex_);
  const bool was = (state_.control & kSoftReset) != 0;
  const bool is = (value & kSoftReset) != 0;
  state_.control = value & (kHighOrder | kSoftReset | kNoInterrupt);
  if (is != was) {
    for (size_t unit = 0; unit < kDrives; ++unit) {
      if (!drives_[unit]) {
        continue;
      }
      drives_[unit]->acknowledge();
      if (seats_[unit].in_flight) {
        drives_[unit]->show_busy();
        seats_[unit].reset_waits = true;
      } else {
        drives_[unit]->reset(IdeDrive::Reset::soft);
        if (is) {
          drives_[unit]->show_busy();
        }
      }
    }
    state_.selected = 0;
  }
  update_interrupt();
}

uint64_t IdeChannel::read_master(IoAccess access) {
  const Lock lock(mutex_);
  const std::array<uint8_t, 8> registers{state_.master_command,
                                         0,
                                         state_.master_status,
                                         0,
                                         static_cast<uint8_t>(state_.master_table),
                                         static_cast<uint8_t>(state_.master_table >> 8),
                                         static_cast<uint8_t>(state_.master_table >> 16),
                                         static_cast<uint8_t>(state_.master_table >> 24)};
  uint64_t value = 0;
  for (uint64_t i = 0; i < access.size && access.offset + i < registers.size(); ++i) {
    value |= uint64_t{registers[access.offset + i]} << (8 * i);
  }
  return value;
}

void IdeChannel::write_master(IoAccess access, uint64_t value) {
  {
    const Lock lock(mutex_);
    for (uint64_t i = 0; i < access.size; ++i) {
      const auto byte = static_cast<uint8_t>(value >> (8 * i));
      const uint64_t at = access.offset + i;
      if (at == kMasterCommand) {
        const bool started = (state_.master_command & kMasterStart) == 0 && (byte & kMasterStart) != 0;
        state_.master_command = byte & (kMasterStart | kMasterToMemory);
        if (started) {
          state_.master_status |= kMasterActive;
          state_.cursor = {};
        } else if ((byte & kMasterStart) == 0 && !seats_[0].in_flight && !seats_[1].in_flight) {
          state_.master_status &= static_cast<uint8_t>(~kMasterActive);
        }
      } else if (at == kMasterStatus) {
        state_.master_status &= static_cast<uint8_t>(~(byte & (kMasterInterrupt | kMasterError)));
        state_.master_status = static_cast<uint8_t>((state_.master_status & ~kMasterCapable) | (byte & kMasterCapable));
      } else if (at >= kMasterTable && at < kMasterTable + 4) {
        const unsigned shift = 8 * static_cast<unsigned>(at - kMasterTable);
        state_.master_table = (state_.master_table & ~(0xFFU << shift)) | uint32_t{byte} << shift;
        state_.master_table &= ~3U;
      }
    }
  }
  wake();
}

void IdeChannel::wake() {
  {
    const Lock lock(mutex_);
    if (!running_ || std::exchange(woken_, true)) {
      return;
    }
  }
  loop_.post([this] { work(); });
}

// Everything that the drives want of their media, until they want no more or it is in flight.
void IdeChannel::work() {
  for (size_t unit = 0; unit < kDrives; ++unit) {
    if (!drives_[unit]) {
      continue;
    }
    finish_exchange(unit);
    bool submit = false;
    {
      const Lock lock(mutex_);
      woken_ = false;
      submit = prepare(unit);
      update_interrupt();
    }
    if (submit) {
      seats_[unit].queue->submit(seats_[unit].request);
    }
  }
  settle();
}

bool IdeChannel::open_queue(size_t unit) {
  Seat& seat = seats_[unit];
  if (seat.queue) {
    return true;
  }
  auto queue = drives_[unit]->backend()->open_queue(loop_);
  if (!queue) {
    log_error("block", "{}: {}", drives_[unit]->id(), queue.error().message);
    return false;
  }
  seat.queue = std::move(*queue);
  return true;
}

// True: the seat's request is to be submitted.
bool IdeChannel::prepare(size_t unit) {
  Seat& seat = seats_[unit];
  IdeDrive& drive = *drives_[unit];
  if (!running_ || seat.in_flight || seat.halted || seat.medium || seat.exchanged) {
    return false;
  }
  const bool master = (state_.master_status & kMasterActive) != 0 && (state_.master_command & kMasterStart) != 0 &&
                      (!may_master || may_master());
  if (drive.wants_dma() && !master) {
    return false;
  }
  if (!drive.dma_reply().empty()) {
    send_reply(unit);
    return false;
  }
  const auto io = drive.next_io();
  if (!io) {
    return false;
  }
  Request& request = seat.request;
  seat.cursor = state_.cursor;
  seat.segments.clear();
  request.iov.clear();
  request.length = io->length;
  if (!io->buffer.empty()) {
    request.iov.push_back({io->buffer.data(), io->buffer.size()});
  } else if (io->kind != BlockRequest::Kind::flush) {
    const Gathered gathered = gather(std::min(io->length, kMaxDma), kSector, seat.segments);
    if (gathered == Gathered::error) {
      fail_master(drive);
      return false;
    }
    if (gathered == Gathered::nothing) {  // the table is too short: the drive waits for the rest
      state_.master_status &= static_cast<uint8_t>(~kMasterActive);
      return false;
    }
    request.length = 0;
    for (const Segment& segment : seat.segments) {
      request.iov.push_back(env_.memory.iovec_for(segment.at, segment.length));
      request.length += segment.length;
    }
  }
  if (!open_queue(unit)) {
    drive.io_failed(io->kind);
    return false;
  }
  request.channel = this;
  request.unit = unit;
  request.kind = io->kind;
  request.offset = io->offset;
  request.durable = io->durable && io->kind == BlockRequest::Kind::write;
  request.began = std::chrono::steady_clock::now();
  request.done = [](BlockRequest& done, int error) {
    auto& self = static_cast<Request&>(done);
    self.channel->completed(self.unit, error);
  };
  seat.in_flight = true;
  drive.io_started();
  return true;
}

// The next entry of the table becomes the segment. False: there is none, or it cannot be read.
bool IdeChannel::next_segment() {
  if (state_.cursor.ended || state_.cursor.entry >= kTableEntries) {
    return false;
  }
  const Gpa at{uint64_t{state_.master_table} + uint64_t{state_.cursor.entry} * 8};
  const auto entry = env_.memory.read<uint64_t>(at);
  if (!entry) {
    return false;
  }
  ++state_.cursor.entry;
  state_.cursor.at = static_cast<uint32_t>(*entry) & ~1U;
  const auto count = static_cast<uint32_t>((*entry >> 32) & 0xFFFE);
  state_.cursor.left = count != 0 ? count : 0x10000;
  state_.cursor.ended = ((*entry >> 32) & kEndOfTable) != 0;
  return true;
}

// Segments of guest memory for `most` bytes at most, a multiple of `multiple`.
IdeChannel::Gathered IdeChannel::gather(uint64_t most, uint32_t multiple, std::vector<Segment>& out) {
  const IdeMasterCursor before = state_.cursor;
  uint64_t bytes = 0;
  while (bytes < most && out.size() < kMaxSegments) {
    if (state_.cursor.left == 0 && !next_segment()) {
      if (!state_.cursor.ended) {
        return Gathered::error;
      }
      break;
    }
    const auto take = static_cast<uint32_t>(std::min<uint64_t>(state_.cursor.left, most - bytes));
    if (env_.memory.iovec_for(Gpa{state_.cursor.at}, take).iov_base == nullptr) {
      return Gathered::error;
    }
    out.push_back({Gpa{state_.cursor.at}, take});
    state_.cursor.at += take;
    state_.cursor.left -= take;
    bytes += take;
  }
  if (bytes % multiple != 0) {  // again, without what does not make a whole sector
    out.clear();
    state_.cursor = before;
    return bytes < multiple ? Gathered::nothing : gather(bytes - bytes % multiple, multiple, out);
  }
  return out.empty() ? Gathered::nothing : Gathered::some;
}

void IdeChannel::send_reply(size_t unit) {
  IdeDrive& drive = *drives_[unit];
  while (!drive.dma_reply().empty()) {
    const auto reply = drive.dma_reply();
    std::vector<Segment> segments;
    const Gathered gathered = gather(reply.size(), 1, segments);
    if (gathered == Gathered::error) {
      fail_master(drive);
      return;
    }
    if (gathered == Gathered::nothing) {
      state_.master_status &= static_cast<uint8_t>(~kMasterActive);
      return;
    }
    size_t sent = 0;
    for (const Segment& segment : segments) {
      (void)env_.memory.write_bytes(segment.at, reply.subspan(sent, segment.length));
      sent += segment.length;
    }
    drive.dma_reply_sent(sent);
  }
  finish_master();
}

void IdeChannel::fail_master(IdeDrive& drive) {
  state_.master_status |= kMasterError;
  state_.master_status &= static_cast<uint8_t>(~kMasterActive);
  drive.dma_failed();
}

// The drive has all it wants. Active goes away if the table has ended, too (290550, 2.6).
void IdeChannel::finish_master() {
  if (state_.cursor.ended && state_.cursor.left == 0) {
    state_.master_status &= static_cast<uint8_t>(~kMasterActive);
  }
}

void IdeChannel::completed(size_t unit, int error) {
  Seat& seat = seats_[unit];
  IdeDrive& drive = *drives_[unit];
  BlockErrorEvent event{drive.id(), seat.request.kind, error, ErrorAction::report};
  if (seat.request.kind == BlockRequest::Kind::read) {
    for (const Segment& segment : seat.segments) {
      env_.memory.mark_dirty(segment.at, segment.length);
    }
  }
  {
    const Lock lock(mutex_);
    seat.in_flight = false;
    drive.counters().count(seat.request.kind, error == 0 ? seat.request.length : 0, error != 0,
                           std::chrono::steady_clock::now() - seat.request.began);
    if ((state_.master_command & kMasterStart) == 0) {
      state_.master_status &= static_cast<uint8_t>(~kMasterActive);
    }
    if (std::exchange(seat.reset_waits, false)) {
      drive.reset(IdeDrive::Reset::soft);
      if ((state_.control & kSoftReset) != 0) {
        drive.show_busy();
      }
      error = 0;
    } else if (error != 0) {
      take_error(unit, error, event);
    } else {
      drive.io_done(seat.request.length);
      if (!seat.segments.empty() && !drive.wants_dma()) {
        finish_master();
      }
    }
    update_interrupt();
  }
  if (error != 0 && drive.options().on_io_error) {
    drive.options().on_io_error(event);
  }
  work();
}

void IdeChannel::take_error(size_t unit, int error, BlockErrorEvent& event) {
  Seat& seat = seats_[unit];
  IdeDrive& drive = *drives_[unit];
  event.action = drive.options().errors.choose(seat.request.kind, error);
  if (event.action == ErrorAction::ignore) {
    drive.io_done(seat.request.length);
  } else if (event.action == ErrorAction::report) {
    drive.io_failed(seat.request.kind);
  } else {  // it is tried again when the guest goes on
    seat.halted = true;
    state_.cursor = seat.cursor;
  }
}

void IdeChannel::settle() {
  if (on_quiet_.empty()) {
    return;
  }
  {
    const Lock lock(mutex_);
    if (std::ranges::any_of(seats_, [](const Seat& seat) { return seat.in_flight; })) {
      return;
    }
  }
  for (Seat& seat : seats_) {
    seat.queue.reset();
  }
  for (const auto& done : std::exchange(on_quiet_, {})) {
    done();
  }
}

void IdeChannel::quiesce(std::function<void()> done) {
  {
    const Lock lock(mutex_);
    running_ = false;
  }
  loop_.post([this, done = std::move(done)] {
    on_quiet_.push_back(done);
    for (size_t unit = 0; unit < kDrives; ++unit) {
      finish_exchange(unit);
    }
    settle();
  });
}

void IdeChannel::resume() {
  {
    const Lock lock(mutex_);
    running_ = true;
    woken_ = false;
    for (Seat& seat : seats_) {
      seat.halted = false;
    }
    tell_expected_data();
  }
  wake();
}

// Quiet, so the loop has nothing of it.
void IdeChannel::reset() {
  const Lock lock(mutex_);
  for (const auto& drive : drives_) {
    if (drive) {
      drive->reset(IdeDrive::Reset::power_on);
    }
  }
  for (Seat& seat : seats_) {
    seat.halted = false;
    seat.reset_waits = false;
  }
  state_ = {};
  update_interrupt();
}

IdeChannelState IdeChannel::state() const {
  const Lock lock(mutex_);
  return state_;
}

IdeDriveState IdeChannel::drive_state(size_t unit) const {
  const Lock lock(mutex_);
  return drives_.at(unit)->state();
}

void IdeChannel::exchange_medium(size_t unit, std::unique_ptr<BlockBackend> medium, Exchanged done) {
  auto handed = std::make_shared<std::unique_ptr<BlockBackend>>(std::move(medium));
  loop_.post([this, unit, handed, done = std::move(done)] {
    {
      const Lock lock(mutex_);
      seats_.at(unit).medium = std::move(*handed);
      seats_.at(unit).exchanged = done;
    }
    work();
  });
}

// On the loop: a medium that waits for the last request on the old one.
void IdeChannel::finish_exchange(size_t unit) {
  Seat& seat = seats_[unit];
  Exchanged done;
  std::shared_ptr<std::unique_ptr<BlockBackend>> old;
  {
    const Lock lock(mutex_);
    if (!seat.exchanged || seat.in_flight) {
      return;
    }
    seat.queue.reset();
    old = std::make_shared<std::unique_ptr<BlockBackend>>(drives_[unit]->exchange_medium(std::move(seat.medium)));
    done = std::exchange(seat.exchanged, nullptr);
    update_interrupt();
  }
  env_.control.post([done = std::move(done), old = std::move(old)] { done(std::move(*old)); });
}

IdeChannel::Medium IdeChannel::medium(size_t unit) const {
  const Lock lock(mutex_);
  const IdeDrive& drive = *drives_.at(unit);
  Medium medium{.info = {}, .tray_open = drive.tray_open(), .locked = drive.locked()};
  if (drive.backend() != nullptr) {
    medium.info = drive.backend()->info();
  } else {
    medium.info.read_only = true;
  }
  return medium;
}

std::vector<Counter> IdeChannel::counters(size_t unit) const {
  const BlockCounters* const queue = &drives_.at(unit)->counters();
  return counter_list({&queue, 1}, drives_.at(unit)->warnings().count());
}

void IdeChannel::ask_to_eject(size_t unit) {
  const Lock lock(mutex_);
  drives_.at(unit)->ask_to_eject();
}

}  // namespace lodge
