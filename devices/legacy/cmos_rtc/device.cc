#include "devices/legacy/cmos_rtc/device.h"

#include <algorithm>

#include "devices/legacy/cmos_rtc/calendar.h"

namespace lodge {
namespace {

using namespace cmos;

constexpr uint8_t kHold = 0x80;      // status B: the guest is setting the time
constexpr uint8_t kUpdating = 0x80;  // status A
constexpr uint8_t kInterrupts = 0x70;
constexpr uint8_t kUpdateInterrupt = 0x10;
constexpr int64_t kSecond = 1'000'000'000;

bool is_alarm(uint8_t index) { return index == kSecondsAlarm || index == kMinutesAlarm || index == kHoursAlarm; }

}  // namespace

Result<std::unique_ptr<CmosRtc>> CmosRtc::create(Options options, const DeviceEnv& env, IrqLine& irq,
                                                 const StateReader* saved) {
  if (options.offset_seconds < -kLastSecond || options.offset_seconds > kLastSecond) {
    return fail("the clock cannot be {} seconds off", options.offset_seconds);
  }
  std::unique_ptr<CmosRtc> self(new CmosRtc(std::move(options), env.control, irq));
  self->reset();
  self->describe_board(self->options_.board);
  {
    const Lock lock(self->mutex_);
    self->state_.offset_seconds = self->options_.offset_seconds;
    if (saved != nullptr) {
      auto state = TRY(saved->get<CmosRtcState>("rtc0"));
      if (state.offset_seconds < -kLastSecond || state.offset_seconds > kLastSecond) {
        return fail("saved clock is {} seconds off", state.offset_seconds);
      }
      if (state.index >= state.ram.size()) {
        return fail("saved clock has register {} selected", state.index);
      }
      state.flags &= kInterrupts;
      self->state_ = state;
      self->quiet_ = true;  // resume() follows
    }
    self->told_offset_ = self->state_.offset_seconds;
    self->start_watching();
  }
  self->mapping_ = TRY(env.pio.add(0x70, 2, "rtc0", unowned(*self)));
  return self;
}

void CmosRtc::put16(size_t at, uint64_t value) {
  const uint64_t capped = std::min<uint64_t>(value, 0xFFFF);
  state_.ram[at] = static_cast<uint8_t>(capped);
  state_.ram[at + 1] = static_cast<uint8_t>(capped >> 8);
}

void CmosRtc::describe_board(const Board& board) {
  const auto& [low_ram, high_ram, cpus, floppies] = board;
  const Lock lock(mutex_);
  put16(0x15, 640);                                         // KiB of base memory
  put16(0x17, (low_ram - std::min(low_ram, kMiB)) / kKiB);  // KiB above 1 MiB
  put16(0x30, (low_ram - std::min(low_ram, kMiB)) / kKiB);
  put16(0x34, (low_ram - std::min(low_ram, 16 * kMiB)) / (64 * kKiB));          // 64 KiB units above 16 MiB
  const uint64_t above = std::min<uint64_t>(high_ram / (64 * kKiB), 0xFFFFFF);  // above 4 GiB, three bytes
  put16(0x5B, above & 0xFFFF);
  state_.ram[0x5D] = static_cast<uint8_t>(above >> 16);
  state_.ram[0x5F] = static_cast<uint8_t>(std::min(cpus, 256U) - 1);
  const bool first = floppies[0] != 0;
  const bool second = floppies[1] != 0;
  state_.ram[0x10] = static_cast<uint8_t>(unsigned{floppies[0]} << 4 | floppies[1]);
  state_.ram[0x14] = static_cast<uint8_t>((first || second ? 0x01 : 0) | (first && second ? 0x40 : 0));
  // What to boot from when no order is given: disk, CD, network.
  state_.ram[0x38] = 0x40;
  state_.ram[0x3D] = 0x32;
}

bool CmosRtc::held() const { return (state_.ram[kStatusB] & kHold) != 0; }

int64_t CmosRtc::guest_second(int64_t now) const { return now / kSecond + state_.offset_seconds; }

void CmosRtc::load_time() { cmos::load_time(state_.ram, guest_second(options_.now())); }

// What the guest writes may be no date at all; the saved state is bounded, so this is.
void CmosRtc::store_time() {
  const int64_t offset = stored_time(state_.ram) - options_.now() / kSecond;
  state_.offset_seconds = std::clamp<int64_t>(offset, -kLastSecond, kLastSecond);
  start_watching();  // a jump is no time that has passed
}

uint8_t CmosRtc::read_register(uint8_t index) {
  if (is_time(index) && !held()) {
    load_time();
  }
  switch (index) {
    case kStatusA: return static_cast<uint8_t>(state_.ram[kStatusA] | (in_update() ? kUpdating : 0));
    case kStatusC: return take_flags();
    case kStatusD: return 0x80;  // the battery is good
    default: return state_.ram[index];
  }
}

void CmosRtc::write_status_b(uint8_t value) {
  if (!held()) {
    load_time();
  }
  const bool set = held() && (value & kHold) == 0;
  state_.ram[kStatusB] = (value & kHold) != 0 ? static_cast<uint8_t>(value & ~kUpdateInterrupt) : value;
  if (set) {
    store_time();
  }
}

void CmosRtc::write_register(uint8_t index, uint8_t value) {
  if (index == kStatusC || index == kStatusD) {
    return;
  }
  catch_up();  // under the old rules
  if (index == kStatusB) {
    write_status_b(value);
  } else if (index == kStatusA) {
    state_.ram[kStatusA] = value & 0x7F;  // the update flag cannot be set
  } else if (is_time(index) && !held()) {
    load_time();
    state_.ram[index] = value;
    store_time();
  } else {
    state_.ram[index] = value;
  }
  if (index <= kStatusB || is_time(index)) {
    update_line();
    armed_ = armed_ && !(index == kStatusA || index == kStatusB || is_alarm(index) || is_time(index));
    ask_for_timer();
  }
}

uint64_t CmosRtc::io_read(IoAccess access) {
  const Lock lock(mutex_);
  return access.offset == 0 ? 0xFF : read_register(state_.index);
}

void CmosRtc::io_write(IoAccess access, uint64_t value) {
  const Lock lock(mutex_);
  if (access.offset == 0) {
    state_.index = static_cast<uint8_t>(value & 0x7F);  // bit 7 masks NMIs, which a guest here never gets by itself
  } else {
    write_register(state_.index, static_cast<uint8_t>(value));
  }
}

void CmosRtc::save(StateWriter& out) const {
  const Lock lock(mutex_);
  out.put("rtc0", state_);
}

void CmosRtc::reset() {
  const Lock lock(mutex_);
  state_.index = 0;
  state_.flags = 0;
  state_.ram[kStatusA] = 0x26;
  state_.ram[kStatusB] = k24Hours;
  armed_ = false;  // what the timer finds is nothing enabled
  update_line();
}

}  // namespace lodge
