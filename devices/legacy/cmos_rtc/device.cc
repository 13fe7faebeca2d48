#include "devices/legacy/cmos_rtc/device.h"

#include <algorithm>
#include <ctime>

namespace lodge {
namespace {

// Register numbers of the data sheet; 0x32 is the century byte of PCs.
constexpr uint8_t kSeconds = 0x00;
constexpr uint8_t kMinutes = 0x02;
constexpr uint8_t kHours = 0x04;
constexpr uint8_t kWeekday = 0x06;
constexpr uint8_t kDay = 0x07;
constexpr uint8_t kMonth = 0x08;
constexpr uint8_t kYear = 0x09;
constexpr uint8_t kStatusA = 0x0A;
constexpr uint8_t kStatusB = 0x0B;
constexpr uint8_t kStatusC = 0x0C;
constexpr uint8_t kStatusD = 0x0D;
constexpr uint8_t kCentury = 0x32;
constexpr uint8_t kBinary = 0x04;   // status B: values are binary, not BCD
constexpr uint8_t k24Hours = 0x02;  // status B
constexpr uint8_t kHold = 0x80;     // status B: the guest is setting the time
constexpr uint8_t kAfternoon = 0x80;
constexpr int64_t kYear9999 = 253402300799;

bool is_time(uint8_t index) {
  return index == kSeconds || index == kMinutes || index == kHours || (index >= kWeekday && index <= kYear) ||
         index == kCentury;
}

}  // namespace

Result<std::unique_ptr<CmosRtc>> CmosRtc::create(const DeviceEnv& env, const Board& board, Now now,
                                                 const StateReader* saved) {
  std::unique_ptr<CmosRtc> self(new CmosRtc(std::move(now)));
  self->reset();
  self->describe_board(board);
  if (saved != nullptr) {
    auto state = TRY(saved->get<CmosRtcState>("rtc0"));
    if (state.offset_seconds < -kYear9999 || state.offset_seconds > kYear9999) {
      return fail("saved clock is {} seconds off", state.offset_seconds);
    }
    if (state.index >= state.ram.size()) {
      return fail("saved clock has register {} selected", state.index);
    }
    const Lock lock(self->mutex_);
    self->state_ = state;
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

uint8_t CmosRtc::encode(int value) const {
  return static_cast<uint8_t>((state_.ram[kStatusB] & kBinary) != 0 ? value : value / 10 * 16 + value % 10);
}

int CmosRtc::decode(uint8_t value) const {
  return (state_.ram[kStatusB] & kBinary) != 0 ? value : (value >> 4) * 10 + (value & 15);
}

void CmosRtc::load_time() {
  const time_t when = static_cast<time_t>(std::clamp<int64_t>(now_() + state_.offset_seconds, 0, kYear9999));
  tm t{};
  ::gmtime_r(&when, &t);
  state_.ram[kSeconds] = encode(t.tm_sec);
  state_.ram[kMinutes] = encode(t.tm_min);
  if ((state_.ram[kStatusB] & k24Hours) != 0) {
    state_.ram[kHours] = encode(t.tm_hour);
  } else {
    const int twelve = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
    state_.ram[kHours] = static_cast<uint8_t>(encode(twelve) | (t.tm_hour >= 12 ? kAfternoon : 0));
  }
  state_.ram[kWeekday] = encode(t.tm_wday + 1);
  state_.ram[kDay] = encode(t.tm_mday);
  state_.ram[kMonth] = encode(t.tm_mon + 1);
  state_.ram[kYear] = encode((t.tm_year + 1900) % 100);
  state_.ram[kCentury] = encode((t.tm_year + 1900) / 100);
}

void CmosRtc::store_time() {
  tm t{};
  t.tm_sec = decode(state_.ram[kSeconds]);
  t.tm_min = decode(state_.ram[kMinutes]);
  const uint8_t hours = state_.ram[kHours];
  if ((state_.ram[kStatusB] & k24Hours) != 0) {
    t.tm_hour = decode(hours);
  } else {
    t.tm_hour = decode(hours & 0x7F) % 12 + ((hours & kAfternoon) != 0 ? 12 : 0);
  }
  t.tm_mday = decode(state_.ram[kDay]);
  t.tm_mon = decode(state_.ram[kMonth]) - 1;
  t.tm_year = decode(state_.ram[kCentury]) * 100 + decode(state_.ram[kYear]) - 1900;
  const time_t when = ::timegm(&t);  // out-of-range fields are carried over, as a counter chain would
  // What the guest writes may be no date at all; the saved state is bounded, so this is.
  state_.offset_seconds = std::clamp<int64_t>(static_cast<int64_t>(when) - now_(), -kYear9999, kYear9999);
}

uint8_t CmosRtc::read_register(uint8_t index) {
  if (is_time(index) && (state_.ram[kStatusB] & kHold) == 0) {
    load_time();
  }
  switch (index) {
    case kStatusC: return 0;
    case kStatusD: return 0x80;  // the battery is good
    default: return state_.ram[index];
  }
}

void CmosRtc::write_register(uint8_t index, uint8_t value) {
  switch (index) {
    case kStatusC:
    case kStatusD: return;
    case kStatusA: state_.ram[kStatusA] = value & 0x7F; return;  // the update flag cannot be set
    case kStatusB:
      if ((state_.ram[kStatusB] & kHold) == 0) {
        load_time();
      } else if ((value & kHold) == 0) {
        state_.ram[kStatusB] = value;
        store_time();
        return;
      }
      state_.ram[kStatusB] = value;
      return;
    default: break;
  }
  if (is_time(index) && (state_.ram[kStatusB] & kHold) == 0) {
    load_time();
    state_.ram[index] = value;
    store_time();
    return;
  }
  state_.ram[index] = value;
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
  state_.ram[kStatusA] = 0x26;
  state_.ram[kStatusB] = k24Hours;
}

}  // namespace lodge
