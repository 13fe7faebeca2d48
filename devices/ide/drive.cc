// IdeDrive: registers and the movement of data. Commands: ata.cc, atapi.cc.
#include "devices/ide/drive.h"

#include <algorithm>
#include <cstring>

#include "base/units.h"

namespace lodge {

using namespace ide;  // NOLINT(google-build-using-namespace): the names of the documents

Result<std::unique_ptr<IdeDrive>> IdeDrive::create(IdeDriveOptions options) {
  if (!options.cdrom && options.backend == nullptr) {
    return fail("disk '{}' has no image", options.id);
  }
  if (options.backend != nullptr) {
    const BlockInfo info = options.backend->info();
    if (options.cdrom) {
      TRY_VOID(check_medium(info));
    } else if (info.size < kSector) {
      return fail("{} is shorter than a sector of {} bytes", info.description, kSector);
    }
    if (!options.cdrom && info.logical_block > kSector) {
      return fail("{} has sectors of {} bytes, an IDE disk has 512; use cache=writeback, or bus=virtio", info.description,
                  info.logical_block);
    }
    if (!options.cdrom && info.read_only) {
      return fail("disk '{}' is read-only, which an IDE disk cannot be; use bus=virtio, or a CD drive", options.id);
    }
  }
  std::unique_ptr<IdeDrive> self(new IdeDrive(std::move(options)));
  self->reset(Reset::power_on);
  return self;
}

Result<void> IdeDrive::check_medium(const BlockInfo& info) {
  if (info.size < kCdSector) {
    return fail("{} is shorter than a sector of a CD, which has {} bytes; give another image, or none", info.description,
                kCdSector);
  }
  return {};
}

Result<void> IdeDrive::load(const IdeDriveState& saved) {
  const bool multiple = saved.multiple <= kMostMultiple && (saved.multiple & (saved.multiple - 1)) == 0;
  if (static_cast<uint8_t>(saved.phase) >= kIdePhases || saved.buffer.size() > kBuffer || saved.at > saved.block_end ||
      saved.block_end > saved.buffer.size() || saved.left > kMaxSectors || saved.block == 0 || saved.block > kBuffer ||
      !multiple || saved.sectors == 0 || saved.heads == 0 || saved.heads > 16) {
    return fail("saved state of drive '{}' is damaged", options_.id);
  }
  const bool buffered = saved.phase == IdePhase::write || (saved.phase == IdePhase::dma && saved.reply);
  const bool of_medium = saved.phase == IdePhase::read || saved.phase == IdePhase::write ||
                         (saved.phase == IdePhase::dma && !saved.reply) ||
                         (saved.left > 0 && (saved.phase == IdePhase::data_in || saved.phase == IdePhase::data_out));
  if ((buffered && saved.buffer.empty()) || (saved.phase == IdePhase::packet && saved.buffer.size() != kPacketSize) ||
      (saved.phase == IdePhase::write && saved.buffer.size() / kSector > saved.left) ||
      (saved.phase == IdePhase::data_out && (saved.buffer.empty() || saved.buffer.size() / kSector > saved.left)) ||
      ((saved.phase == IdePhase::data_in || saved.phase == IdePhase::data_out || saved.phase == IdePhase::packet) &&
       saved.at == saved.block_end)) {
    return fail("saved state of drive '{}' does not fit together", options_.id);
  }
  if (of_medium && (saved.left == 0 || !range_fits(saved.position, saved.left, sectors()))) {
    return fail("drive '{}' has {} sectors, its saved state goes beyond; give the image that belongs to it", options_.id,
                sectors());
  }
  s_ = saved;
  return {};
}

void IdeDrive::set_signature() {
  s_.task = {.feature = 0,
             .count = 1,
             .low = 1,
             .mid = options_.cdrom ? uint8_t{0x14} : uint8_t{0},
             .high = options_.cdrom ? uint8_t{0xEB} : uint8_t{0}};
  s_.previous = {};
  s_.device &= kDeviceSecond;
}

void IdeDrive::reset(Reset kind) {
  IdeDriveState fresh;
  fresh.changed = s_.changed;
  fresh.media_event = s_.media_event;
  fresh.tray_open = s_.tray_open;
  if (kind == Reset::soft) {  // what was set stays (ATA/ATAPI-6, 9.2)
    fresh.multiple = s_.multiple;
    fresh.heads = s_.heads;
    fresh.sectors = s_.sectors;
    fresh.transfer_mode = s_.transfer_mode;
    fresh.write_cache = s_.write_cache;
    fresh.smart = s_.smart;
    fresh.locked = s_.locked;
    fresh.device = s_.device;
  } else {
    // As many sectors for one interrupt as there can be, from power-on: drivers use what identify data say is set.
    fresh.multiple = options_.cdrom ? 0 : kMostMultiple;
    fresh.write_cache = backend() == nullptr || backend()->info().write_cache;
  }
  s_ = std::move(fresh);
  set_signature();
  s_.error = 1;  // passed
  s_.status = options_.cdrom ? uint8_t{0} : kReady;
}

void IdeDrive::diagnosed() {
  set_signature();
  s_.phase = IdePhase::idle;
  s_.error = 1;
  s_.status = options_.cdrom ? uint8_t{0} : kReady;
}

uint8_t IdeDrive::read(uint64_t reg, bool high_order) const {
  const IdeTaskFile& task = high_order ? s_.previous : s_.task;
  switch (reg) {
    case kError: return s_.error;
    case kCount: return task.count;
    case kLbaLow: return task.low;
    case kLbaMid: return task.mid;
    case kLbaHigh: return task.high;
    case kDevice: return s_.device | 0xA0;
    default: return s_.status;
  }
}

void IdeDrive::write(uint64_t reg, uint8_t value) {
  if ((s_.status & kBsy) != 0) {
    return;
  }
  const auto push = [value](uint8_t& now, uint8_t& before) { before = std::exchange(now, value); };
  switch (reg) {
    case kError: push(s_.task.feature, s_.previous.feature); return;
    case kCount: push(s_.task.count, s_.previous.count); return;
    case kLbaLow: push(s_.task.low, s_.previous.low); return;
    case kLbaMid: push(s_.task.mid, s_.previous.mid); return;
    case kLbaHigh: push(s_.task.high, s_.previous.high); return;
    case kDevice: s_.device = value & 0x5F; return;
    default: return;
  }
}

void IdeDrive::command(uint8_t code) {
  s_.interrupt = false;
  s_.phase = IdePhase::idle;  // whatever the host had not taken
  s_.reply = false;
  s_.durable = false;
  s_.left = 0;
  s_.at = s_.block_end = 0;
  s_.error = 0;
  s_.status = kReady;
  options_.cdrom ? atapi_command(code) : ata_command(code);
}

void IdeDrive::succeed() {
  s_.phase = IdePhase::idle;
  s_.status = kReady;
  s_.error = 0;
  if (options_.cdrom) {
    s_.task.count = kReasonCommand | kReasonToHost;
  }
  s_.interrupt = true;
}

void IdeDrive::abort(uint8_t error) {
  s_.phase = IdePhase::idle;
  s_.status = kReady | kErr;
  s_.error = error;
  s_.interrupt = true;
}

// The host may take or give the next block.
void IdeDrive::start_block() {
  s_.block_end = s_.at + std::min<uint32_t>(s_.block, static_cast<uint32_t>(s_.buffer.size()) - s_.at);
  s_.status = kReady | kDrq;
  if (options_.cdrom && s_.phase == IdePhase::data_in) {
    const uint32_t bytes = s_.block_end - s_.at;
    s_.task.count = kReasonToHost;
    s_.task.mid = static_cast<uint8_t>(bytes);
    s_.task.high = static_cast<uint8_t>(bytes >> 8);
  }
}

// An answer for the host to read.
void IdeDrive::present(std::vector<uint8_t> answer) {
  s_.buffer = std::move(answer);
  s_.reply = true;
  s_.to_host = true;
  s_.at = 0;
  s_.phase = IdePhase::data_in;
  start_block();
  s_.interrupt = true;
}

void IdeDrive::move_sectors(bool to_host, bool dma, uint64_t position, uint32_t count) {
  s_.to_host = to_host;
  s_.reply = false;
  s_.position = position;
  s_.left = count;
  if (dma) {
    s_.phase = IdePhase::dma;
    dma_waits();
  } else if (to_host) {
    s_.phase = IdePhase::read;
    s_.status = kBsy;
  } else {
    expect_data();
  }
}

void IdeDrive::expect_data() {
  s_.buffer.assign(std::min(s_.left * kSector, kBuffer), 0);
  s_.at = 0;
  s_.phase = IdePhase::data_out;
  start_block();
}

uint32_t IdeDrive::read_data(uint8_t size) {
  if (s_.phase != IdePhase::data_in) {
    return 0;
  }
  uint32_t value = 0;
  const uint32_t bytes = std::min({uint32_t{size}, uint32_t{sizeof value}, s_.block_end - s_.at});
  std::memcpy(&value, s_.buffer.data() + s_.at, bytes);
  s_.at += bytes;
  if (s_.at >= s_.block_end) {
    data_read();
  }
  return value;
}

void IdeDrive::data_read() {
  if (s_.at < s_.buffer.size()) {
    start_block();
    s_.interrupt = true;
  } else if (s_.left > 0) {
    s_.phase = IdePhase::read;
    s_.status = kBsy;
  } else if (options_.cdrom) {
    succeed();
  } else {
    s_.phase = IdePhase::idle;
    s_.status = kReady;
  }
}

void IdeDrive::write_data(uint32_t value, uint8_t size) {
  if (s_.phase != IdePhase::data_out && s_.phase != IdePhase::packet) {
    return;
  }
  const uint32_t bytes = std::min({uint32_t{size}, uint32_t{sizeof value}, s_.block_end - s_.at});
  std::memcpy(s_.buffer.data() + s_.at, &value, bytes);
  s_.at += bytes;
  if (s_.at >= s_.block_end) {
    data_written();
  }
}

void IdeDrive::data_written() {
  if (s_.phase == IdePhase::packet) {
    packet();
  } else if (s_.at < s_.buffer.size()) {
    start_block();
    s_.interrupt = true;
  } else {
    s_.phase = IdePhase::write;
    s_.status = kBsy;
  }
}

std::optional<IdeDrive::Io> IdeDrive::next_io() {
  Io io;
  io.offset = s_.position * kSector;
  io.durable = s_.durable || !s_.write_cache;
  if (backend() == nullptr) {
    return std::nullopt;
  }
  switch (s_.phase) {
    case IdePhase::read: {
      s_.buffer.resize(std::min(s_.left * kSector, kBuffer));
      io.buffer = std::as_writable_bytes(std::span(s_.buffer));
      io.length = s_.buffer.size();
      return io;
    }
    case IdePhase::write:
      io.kind = BlockRequest::Kind::write;
      io.buffer = std::as_writable_bytes(std::span(s_.buffer));
      io.length = s_.buffer.size();
      return io;
    case IdePhase::flush: io.kind = BlockRequest::Kind::flush; return io;
    case IdePhase::dma:
      if (s_.reply) {
        return std::nullopt;
      }
      io.kind = s_.to_host ? BlockRequest::Kind::read : BlockRequest::Kind::write;
      io.length = uint64_t{s_.left} * kSector;
      return io;
    default: return std::nullopt;
  }
}

std::span<const std::byte> IdeDrive::dma_reply() const {
  if (s_.phase != IdePhase::dma || !s_.reply) {
    return {};
  }
  return std::as_bytes(std::span(s_.buffer)).subspan(s_.at);
}

void IdeDrive::dma_reply_sent(size_t bytes) {
  s_.at += static_cast<uint32_t>(bytes);
  s_.block_end = s_.at;
  if (s_.at >= s_.buffer.size()) {
    succeed();
  }
}

void IdeDrive::io_done(uint64_t length) {
  const auto moved = static_cast<uint32_t>(length / kSector);
  s_.position += moved;
  s_.left -= std::min(moved, s_.left);
  switch (s_.phase) {
    case IdePhase::read:
      s_.at = 0;
      s_.phase = IdePhase::data_in;
      start_block();
      s_.interrupt = true;
      return;
    case IdePhase::write:
      if (s_.left > 0) {
        expect_data();
        s_.interrupt = true;
        return;
      }
      succeed();
      return;
    case IdePhase::dma:
      if (s_.left > 0) {
        dma_waits();
        return;
      }
      succeed();
      return;
    case IdePhase::flush: succeed(); return;
    default: return;
  }
}

void IdeDrive::io_failed(BlockRequest::Kind kind) {
  if (options_.cdrom) {
    check_condition(kReadFailed);
    return;
  }
  set_address(s_.position, true);
  abort(kind == BlockRequest::Kind::read ? kUncorrectable : kAborted);
}

void IdeDrive::dma_failed() {
  if (options_.cdrom) {
    check_condition(kReadFailed);
  } else {
    abort(kAborted);
  }
}

std::unique_ptr<BlockBackend> IdeDrive::exchange_medium(std::unique_ptr<BlockBackend> medium) {
  const bool had = options_.backend != nullptr && !s_.tray_open;
  if (s_.phase == IdePhase::read || (s_.phase == IdePhase::dma && !s_.reply) ||
      (s_.phase == IdePhase::data_in && s_.left > 0)) {
    check_condition(kTrayClosedEmpty);  // it was reading from the old one
  }
  constexpr uint8_t kNewMedium = 2;
  constexpr uint8_t kRemoved = 3;
  std::swap(options_.backend, medium);
  s_.tray_open = false;
  s_.locked = false;
  s_.changed = options_.backend != nullptr;
  s_.media_event = options_.backend != nullptr ? kNewMedium : had ? kRemoved : uint8_t{0};
  return medium;
}

void IdeDrive::ask_to_eject() {
  constexpr uint8_t kEjectRequest = 1;
  s_.media_event = kEjectRequest;
}

}  // namespace lodge
