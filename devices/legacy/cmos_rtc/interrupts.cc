// Status C and the interrupt (MC146818A data sheet, "Interrupts", "Update cycle", tables 3 to 5).
#include <algorithm>

#include "devices/legacy/cmos_rtc/calendar.h"
#include "devices/legacy/cmos_rtc/device.h"

namespace lodge {
namespace {

using namespace cmos;

constexpr uint8_t kPeriodic = 0x40;  // status B enables, status C tells
constexpr uint8_t kAlarm = 0x20;
constexpr uint8_t kUpdate = 0x10;
constexpr uint8_t kKinds = kPeriodic | kAlarm | kUpdate;
constexpr uint8_t kPending = 0x80;      // status C: one of them is enabled
constexpr uint8_t kDividerMask = 0x70;  // status A
constexpr uint8_t kDivider32k = 0x20;   // the crystal of PCs
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kOscillator = 32768;
constexpr int64_t kUpdateTime = 244'000 + 1'984'000;  // announced, and done

int64_t ticks_at(int64_t ns) { return static_cast<int64_t>(static_cast<__int128>(ns) * kOscillator / kSecond); }

// Ticks of the oscillator between two periodic interrupts; 0: none. Rates 1 and 2 are those of 8 and 9 with this crystal.
int64_t period_of(uint8_t status_a) {
  const unsigned rate = status_a & 15U;
  if (rate == 0) {
    return 0;
  }
  return int64_t{1} << (rate <= 2 ? rate + 6 : rate - 1);
}

}  // namespace

uint8_t CmosRtc::enabled() const { return state_.ram[kStatusB] & kKinds; }

bool CmosRtc::running() const { return (state_.ram[kStatusA] & kDividerMask) == kDivider32k; }

// Whether the registers are just being counted on: the end of each second.
bool CmosRtc::in_update() const { return running() && !held() && options_.now() % kSecond >= kSecond - kUpdateTime; }

void CmosRtc::start_watching() {
  seen_ = options_.now();
  seen_second_ = guest_second(seen_);
}

// Sets the flags of all that happened since it was last asked.
void CmosRtc::catch_up() {
  const int64_t now = options_.now();
  const int64_t second = guest_second(now);
  if (now > seen_ && running()) {
    if (const int64_t period = period_of(state_.ram[kStatusA]);
        period != 0 && ticks_at(now) / period > ticks_at(seen_) / period) {
      state_.flags |= kPeriodic;
    }
    if (second > seen_second_ && !held()) {
      state_.flags |= kUpdate;
      if (const auto alarm = next_alarm(state_.ram, seen_second_); alarm && *alarm <= second) {
        state_.flags |= kAlarm;
      }
    }
  }
  seen_ = now;  // a host's clock that was set back counts on from there
  seen_second_ = second;
}

void CmosRtc::update_line() { irq_.set((state_.flags & enabled()) != 0); }

// Status C as it is read: reading clears it and lets the line go.
uint8_t CmosRtc::take_flags() {
  catch_up();
  const uint8_t flags = state_.flags;
  const bool pending = (flags & enabled()) != 0;
  state_.flags = 0;
  update_line();
  ask_for_timer();
  return static_cast<uint8_t>(flags | (pending ? kPending : 0));
}

// When the first of `kinds` happens, in the host's time.
std::optional<int64_t> CmosRtc::due(uint8_t kinds) const {
  std::optional<int64_t> first;
  const auto take = [&first](int64_t at) { first = std::min(first.value_or(at), at); };
  if (!running()) {
    return first;
  }
  const int64_t period = period_of(state_.ram[kStatusA]);
  if ((kinds & kPeriodic) != 0 && period != 0) {
    const int64_t tick = (ticks_at(seen_) / period + 1) * period;
    take(static_cast<int64_t>((static_cast<__int128>(tick) * kSecond + kOscillator - 1) / kOscillator));
  }
  if (held()) {
    return first;
  }
  const int64_t this_second = seen_ / kSecond;
  if ((kinds & kUpdate) != 0) {
    take((this_second + 1) * kSecond);
  }
  if ((kinds & kAlarm) != 0) {
    if (const auto alarm = next_alarm(state_.ram, seen_second_)) {
      take((this_second + (*alarm - seen_second_)) * kSecond);
    }
  }
  return first;
}

// What the guest did may need a timer, or another one, or the machine is to be told of a new time.
void CmosRtc::ask_for_timer() {
  const bool news = state_.offset_seconds != told_offset_;
  if (asked_ || ((quiet_ || armed_ || enabled() == 0) && !news)) {
    return;
  }
  asked_ = true;
  loop_.post([this, alive = alive_] {
    if (!*alive) {
      return;
    }
    std::optional<int64_t> offset;
    {
      const Lock lock(mutex_);
      asked_ = false;
      if (state_.offset_seconds != told_offset_) {
        offset = told_offset_ = state_.offset_seconds;
      }
      catch_up();
      update_line();
      arm(enabled() & ~state_.flags);
    }
    if (offset && options_.time_set) {
      options_.time_set(*offset);
    }
  });
}

void CmosRtc::arm(uint8_t kinds) {
  timer_.reset();
  armed_ = false;
  if (quiet_) {
    return;
  }
  if (const auto at = due(kinds)) {
    armed_ = true;
    timer_ = loop_.after(std::chrono::nanoseconds(std::max<int64_t>(*at - seen_, 0)), [this] { fire(); });
  }
}

// A guest that takes each interrupt in time finds the next one armed already; one that does not is waited for.
void CmosRtc::fire() {
  const Lock lock(mutex_);
  const uint8_t before = state_.flags;
  catch_up();
  update_line();
  const bool news = (state_.flags & ~before & enabled()) != 0;
  arm(news ? enabled() : static_cast<uint8_t>(enabled() & ~state_.flags));
}

void CmosRtc::quiesce(Done done) {
  timer_.reset();
  {
    const Lock lock(mutex_);
    if (!quiet_) {  // what was saved stays as it was until the guest goes on
      catch_up();
    }
    quiet_ = true;
    armed_ = false;
  }
  done();
}

void CmosRtc::resume() {
  const Lock lock(mutex_);
  quiet_ = false;
  catch_up();
  update_line();
  arm(enabled() & ~state_.flags);
}

}  // namespace lodge
