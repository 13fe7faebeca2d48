#include "devices/chipset/hpet/device.h"

#include <algorithm>
#include <chrono>

namespace lodge {
namespace {

// Registers (2.3); all have 64 bits.
constexpr uint64_t kCapabilities = 0x000;
constexpr uint64_t kConfig = 0x010;
constexpr uint64_t kStatus = 0x020;
constexpr uint64_t kCounter = 0x0F0;
constexpr uint64_t kFirstTimer = 0x100;
constexpr uint64_t kTimerSize = 0x20;
constexpr uint64_t kTimerConfig = 0x00;
constexpr uint64_t kTimerComparator = 0x08;

constexpr uint64_t kFemtoseconds = Hpet::kTickNs * 1'000'000;
constexpr uint64_t kEnable = 1;
constexpr uint64_t kLegacy = 2;

// Configuration and capabilities of a timer (2.3.8).
constexpr uint64_t kLevel = 1ULL << 1;
constexpr uint64_t kInterrupts = 1ULL << 2;
constexpr uint64_t kPeriodic = 1ULL << 3;
constexpr uint64_t kCanPeriodic = 1ULL << 4;
constexpr uint64_t kIs64Bits = 1ULL << 5;
constexpr uint64_t kSetsValue = 1ULL << 6;
constexpr uint64_t kAs32Bits = 1ULL << 8;
constexpr unsigned kRouteShift = 9;
constexpr uint64_t kRouteMask = 31ULL << kRouteShift;
constexpr uint64_t kWritable = kLevel | kInterrupts | kPeriodic | kSetsValue | kAs32Bits | kRouteMask;
// Inputs of the I/O APIC that nothing else has for itself: the timer's and the clock's.
constexpr uint64_t kRoutes = 1ULL << 2 | 1ULL << Hpet::kClockGsi;

uint64_t width_mask(const HpetTimerState& timer) { return (timer.config & kAs32Bits) != 0 ? UINT32_MAX : UINT64_MAX; }

uint64_t route_of(const HpetTimerState& timer) { return (timer.config & kRouteMask) >> kRouteShift; }

bool may_route(uint64_t input) { return (kRoutes >> input & 1) != 0; }

uint64_t merge(uint64_t old, uint64_t value, uint64_t mask) { return (old & ~mask) | (value & mask); }

}  // namespace

Hpet::Hpet(Options options, const DeviceEnv& env) : options_(std::move(options)), loop_(env.control) {
  if (!options_.now) {
    options_.now = [] {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(EventLoop::Clock::now().time_since_epoch()).count();
    };
  }
}

Result<std::unique_ptr<Hpet>> Hpet::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  std::unique_ptr<Hpet> self(new Hpet(std::move(options), env));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  self->mapping_ = TRY(env.mmio.add(kBase, kSize, "hpet0", unowned(*self)));
  return self;
}

Result<void> Hpet::load(const StateReader& saved) {
  const auto state = TRY(saved.get<HpetState>("hpet0"));
  const bool timers = std::ranges::all_of(state.timers, [](const HpetTimerState& timer) {
    const uint64_t mask = width_mask(timer);
    return (timer.config & ~kWritable) == 0 && (route_of(timer) == 0 || may_route(route_of(timer))) &&
           (timer.comparator & ~mask) == 0 && (timer.period & ~mask) == 0;
  });
  if (!timers || state.timers.size() != kTimers || (state.config & ~(kEnable | kLegacy)) != 0 ||
      state.status >> kTimers != 0) {
    return fail("the saved HPET has what no HPET can have");
  }
  const Lock lock(mutex_);
  config_ = state.config;
  status_ = state.status;
  base_ = seen_ = state.counter;
  std::ranges::copy(state.timers, timers_.begin());
  set_legacy((config_ & kLegacy) != 0);
  return {};
}

void Hpet::save(StateWriter& out) const {
  const Lock lock(mutex_);
  out.put("hpet0", HpetState{config_, status_, counter(), {timers_.begin(), timers_.end()}});
}

void Hpet::quiesce(Done done) {
  timer_.reset();
  {
    const Lock lock(mutex_);
    armed_ = 0;
    catch_up();
    base_ = seen_;
    paused_ = true;
  }
  done();
}

void Hpet::resume() {
  const Lock lock(mutex_);
  if (paused_) {
    paused_ = false;
    base_ns_ = options_.now();
  }
  update_lines();
  arm(0);
}

void Hpet::reset() {
  const Lock lock(mutex_);
  config_ = status_ = base_ = seen_ = 0;
  timers_ = {};
  update_lines();
  set_legacy(false);
}

bool Hpet::running() const { return (config_ & kEnable) != 0 && !paused_; }

uint64_t Hpet::counter() const {
  return running() ? base_ + static_cast<uint64_t>(options_.now() - base_ns_) / kTickNs : base_;
}

void Hpet::set_counter(uint64_t value) {
  base_ = seen_ = value;
  base_ns_ = options_.now();
}

void Hpet::set_legacy(bool on) {
  if (std::exchange(legacy_, on) != on && options_.legacy) {
    options_.legacy(on);
  }
}

uint64_t Hpet::io_read(IoAccess access) {
  const Lock lock(mutex_);
  uint64_t value = 0;
  for (uint64_t i = 0; i < access.size;) {  // by registers, which an access may lie across
    const uint64_t at = access.offset + i;
    const uint64_t part = std::min<uint64_t>(8 - at % 8, access.size - i);
    value |= truncate_to(read_register(at & ~7ULL) >> (8 * (at % 8)), part) << (8 * i);
    i += part;
  }
  return value;
}

uint64_t Hpet::read_register(uint64_t offset) const {
  switch (offset) {
    case kCapabilities: return kFemtoseconds << 32 | kId;
    case kConfig: return config_;
    case kStatus: return status_;
    case kCounter: return counter();
    default: break;
  }
  if (offset < kFirstTimer || offset >= kFirstTimer + kTimers * kTimerSize) {
    return 0;
  }
  const HpetTimerState& timer = timers_.at((offset - kFirstTimer) / kTimerSize);
  switch ((offset - kFirstTimer) % kTimerSize) {
    case kTimerConfig: return kRoutes << 32 | kCanPeriodic | kIs64Bits | (timer.config & ~kSetsValue);
    case kTimerComparator: return timer.comparator;
    default: return 0;  // no messages
  }
}

// Registers are accessed by halves or whole (2.2); what else is written is lost.
void Hpet::io_write(IoAccess access, uint64_t value) {
  constexpr uint8_t kHalf = 4;
  if ((access.size != kHalf && access.size != 2 * kHalf) || access.offset % access.size != 0) {
    return;
  }
  const uint64_t shift = 8 * (access.offset % 8);
  const uint64_t mask = access.size == kHalf ? uint64_t{UINT32_MAX} << shift : UINT64_MAX;
  const Lock lock(mutex_);
  catch_up();
  write_register(access.offset & ~7ULL, value << shift, mask);
  update_lines();
  ask_for_timer();
}

void Hpet::write_register(uint64_t offset, uint64_t value, uint64_t mask) {
  switch (offset) {
    case kConfig: write_config(merge(config_, value, mask) & (kEnable | kLegacy)); return;
    case kStatus: status_ &= ~(value & mask); return;
    case kCounter: set_counter(merge(counter(), value, mask)); return;
    default: break;
  }
  if (offset >= kFirstTimer && offset < kFirstTimer + kTimers * kTimerSize) {
    write_timer((offset - kFirstTimer) / kTimerSize, (offset - kFirstTimer) % kTimerSize, value, mask);
  }
}

void Hpet::write_config(uint64_t value) {
  const uint64_t now = counter();
  config_ = value;
  set_counter(now);  // goes on, or stops, there
  set_legacy((value & kLegacy) != 0);
}

void Hpet::write_timer(size_t index, uint64_t reg, uint64_t value, uint64_t mask) {
  HpetTimerState& timer = timers_.at(index);
  if (reg == kTimerComparator) {
    write_comparator(timer, value, mask);
  } else if (reg == kTimerConfig) {
    uint64_t config = merge(timer.config, value, mask) & kWritable;
    if (const uint64_t wanted = (config & kRouteMask) >> kRouteShift; !may_route(wanted)) {
      config = (config & ~kRouteMask) | (wanted == 0 ? 0 : timer.config & kRouteMask);  // reads back as it was
    }
    timer.config = config;
    timer.comparator &= width_mask(timer);
    timer.period &= width_mask(timer);
  }
}

// In periodic mode what is written is the period, and the next value only after a write of kSetsValue (2.3.9.2.2).
void Hpet::write_comparator(HpetTimerState& timer, uint64_t value, uint64_t mask) {
  mask &= width_mask(timer);
  const bool periodic = (timer.config & kPeriodic) != 0;
  if (!periodic || (timer.config & kSetsValue) != 0) {
    timer.comparator = merge(timer.comparator, value, mask);
  }
  if (periodic) {
    timer.period = merge(timer.period, value, mask);
  }
  if ((mask & 1) != 0) {
    timer.config &= ~kSetsValue;
  }
}

// The interrupt input of a timer, if it has one now.
std::optional<uint32_t> Hpet::input_of(size_t index) const {
  const HpetTimerState& timer = timers_.at(index);
  if ((config_ & kEnable) == 0 || (timer.config & kInterrupts) == 0) {
    return std::nullopt;
  }
  if ((config_ & kLegacy) != 0 && index < 2) {
    return index == 0 ? kTimerGsi : kClockGsi;
  }
  const uint64_t route = route_of(timer);
  if (!may_route(route)) {
    return std::nullopt;
  }
  return route == kClockGsi ? kClockGsi : kTimerGsi;
}

// Until the counter reaches the comparator; nothing: nobody would notice.
std::optional<uint64_t> Hpet::ticks_left(size_t index) const {
  const HpetTimerState& timer = timers_.at(index);
  const bool held = (timer.config & kLevel) != 0 && (status_ >> index & 1) != 0;
  if (!running() || held || !input_of(index)) {
    return std::nullopt;
  }
  const uint64_t mask = width_mask(timer);
  if (mask == UINT64_MAX) {
    return timer.comparator > seen_ ? std::optional(timer.comparator - seen_) : std::nullopt;
  }
  const uint64_t left = (timer.comparator - seen_) & mask;
  return left != 0 ? left : mask + 1;  // once around
}

// What has come since the comparators were last looked at.
void Hpet::catch_up() {
  const uint64_t now = counter();
  const uint64_t passed = now - seen_;
  std::array<bool, kTimers> over{};
  for (size_t i = 0; i < kTimers; ++i) {
    const HpetTimerState& timer = timers_.at(i);
    const uint64_t mask = width_mask(timer);
    const uint64_t left = (timer.comparator - seen_) & mask;
    over.at(i) = running() && left != 0 && left <= passed && (mask != UINT64_MAX || timer.comparator > seen_);
  }
  seen_ = now;
  for (size_t i = 0; i < kTimers; ++i) {
    if (!over.at(i)) {
      continue;
    }
    fire(i);
    HpetTimerState& timer = timers_.at(i);
    if ((timer.config & kPeriodic) != 0 && timer.period != 0) {
      const uint64_t mask = width_mask(timer);
      const uint64_t late = (now - timer.comparator) & mask;
      timer.comparator = (timer.comparator + (late / timer.period + 1) * timer.period) & mask;
    }
  }
}

void Hpet::fire(size_t index) {
  const auto input = input_of(index);
  if (!input) {
    return;
  }
  if ((timers_.at(index).config & kLevel) != 0) {
    status_ |= 1ULL << index;
    return;  // update_lines() raises it
  }
  IrqLine& line = options_.line(*input);
  line.set(true);
  line.set(false);
}

void Hpet::update_lines() {
  uint32_t wanted = 0;
  for (size_t i = 0; i < kTimers; ++i) {
    const auto input = input_of(i);
    if (input && (timers_.at(i).config & kLevel) != 0 && (status_ >> i & 1) != 0) {
      wanted |= 1U << *input;
    }
  }
  for (const uint32_t input : {kTimerGsi, kClockGsi}) {
    const uint32_t bit = 1U << input;
    if ((wanted & bit) != (raised_ & bit)) {
      options_.line(input).set((wanted & bit) != 0);
    }
  }
  raised_ = wanted;
}

// Until the first of the comparators; nothing: none will be reached.
std::optional<int64_t> Hpet::next_ns() const {
  constexpr uint64_t kLongest = INT64_MAX / (4 * kTickNs);  // some 70 years
  uint64_t first = kLongest;
  for (size_t i = 0; i < kTimers; ++i) {
    first = std::min(first, ticks_left(i).value_or(kLongest));
  }
  return first < kLongest ? std::optional(static_cast<int64_t>(first * kTickNs)) : std::nullopt;
}

// The loop's timer is early enough, or one is on its way.
void Hpet::ask_for_timer() {
  const auto left = next_ns();
  if (!left || asked_ || (armed_ != 0 && armed_ <= options_.now() + *left)) {
    return;
  }
  asked_ = true;
  loop_.post([this, alive = alive_] {
    if (*alive) {
      const Lock lock(mutex_);
      asked_ = false;
      catch_up();
      update_lines();
      arm(0);
    }
  });
}

void Hpet::arm(int64_t least) {
  timer_.reset();
  armed_ = 0;
  if (const auto left = next_ns()) {
    const int64_t delay = std::max(*left, least);
    armed_ = options_.now() + delay;
    timer_ = loop_.after(std::chrono::nanoseconds(delay), [this] { on_timer(); });
  }
}

void Hpet::on_timer() {
  const Lock lock(mutex_);
  catch_up();
  update_lines();
  arm(kLeastNs);
}

}  // namespace lodge
