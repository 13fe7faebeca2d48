#include "devices/watchdog/i6300esb/device.h"

#include "base/bytes.h"

namespace lodge {
namespace {

constexpr PciIdentity kIdentity{0x8086, 0x25AB, 0x088000, 0, 0x1AF4, 0x1100};

// Registers of the memory BAR.
constexpr uint64_t kPreload1 = 0x0;
constexpr uint64_t kPreload2 = 0x4;
constexpr uint64_t kInterruptStatus = 0x8;
constexpr uint64_t kReload = 0xC;
constexpr uint64_t kBar = 16;
constexpr uint32_t kPreloadMask = 0xFFFFF;
constexpr uint32_t kStatusActive = 1;
constexpr uint32_t kReloadTimer = 1U << 8;
constexpr uint32_t kTimedOut = 1U << 9;
constexpr uint32_t kUnlockFirst = 0x80;
constexpr uint32_t kUnlockSecond = 0x86;
constexpr uint8_t kUnlocked = 2;

// Registers of the configuration space.
constexpr uint16_t kConfig = 0x60;
constexpr uint16_t kLock = 0x68;
constexpr uint16_t kConfigMask = 0x27;  // kind of interrupt, clock, output
constexpr uint16_t kFastClock = 1U << 2;
constexpr uint16_t kNoOutput = 1U << 5;
constexpr uint8_t kLocked = 1U << 0;
constexpr uint8_t kEnabled = 1U << 1;
constexpr uint8_t kFreeRunning = 1U << 2;
constexpr uint8_t kLockMask = kLocked | kEnabled | kFreeRunning;

// A preload value counts the PCI clock divided by 2^15 (about 1 kHz) or 2^5 (about 1 MHz).
int64_t stage_ns(uint32_t preload, bool fast) {
  constexpr uint64_t kPciMhz = 33;
  return static_cast<int64_t>((uint64_t{preload} << (fast ? 5 : 15)) * 1000 / kPciMhz);
}

}  // namespace

I6300Esb::I6300Esb(Options options, const DeviceEnv& env)
    : PciFunction(std::move(options.id), kIdentity, env),
      expired_(std::move(options.expired)),
      timer_(env.control, [this] { stage_over(); }, std::move(options.now)) {
  add_bar(0, BarKind::memory32, kBar, unowned(registers_));
}

Result<std::shared_ptr<I6300Esb>> I6300Esb::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  std::shared_ptr<I6300Esb> self(new I6300Esb(std::move(options), env));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

Result<void> I6300Esb::load(const StateReader& saved) {
  TRY_VOID(load_pci(TRY(saved.get<PciState>(name()))));
  const auto state = TRY(saved.get<I6300EsbState>(name()));
  const bool preloads = state.preload[0] <= kPreloadMask && state.preload[1] <= kPreloadMask;
  if (!preloads || state.stage < 1 || state.stage > 2 || state.unlock > kUnlocked || (state.config & ~kConfigMask) != 0 ||
      (state.lock & ~kLockMask) != 0 || state.left_ns > static_cast<uint64_t>(stage_ns(kPreloadMask, false))) {
    return fail("the saved watchdog '{}' is no i6300esb", name());
  }
  const Lock lock(mutex_);
  s_ = state;
  if (s_.left_ns != 0) {
    timer_.restore(static_cast<int64_t>(s_.left_ns));
  }
  return {};
}

void I6300Esb::save(StateWriter& out) const {
  out.put(name(), pci_state());
  const Lock lock(mutex_);
  I6300EsbState state = s_;
  state.left_ns = static_cast<uint64_t>(timer_.left());
  out.put(name(), state);
}

void I6300Esb::quiesce(Done done) {
  timer_.pause();
  done();
}

void I6300Esb::reset() {
  timer_.stop();
  reset_pci();
  const Lock lock(mutex_);
  const bool timed_out = s_.timed_out;
  s_ = {};
  s_.timed_out = timed_out;
}

bool I6300Esb::enabled() const { return (s_.lock & kEnabled) != 0; }

uint64_t I6300Esb::Registers::io_read(IoAccess access) {
  uint64_t value = 0;
  for (size_t i = 0; i < access.size; ++i) {
    const uint64_t at = access.offset + i;
    value |= uint64_t{owner_.read_register(at & ~3ULL) >> (8 * (at & 3)) & 0xFF} << (8 * i);
  }
  return value;
}

uint32_t I6300Esb::read_register(uint64_t offset) const {
  const Lock lock(mutex_);
  switch (offset) {
    case kInterruptStatus: return s_.interrupt ? kStatusActive : 0;
    case kReload: return s_.timed_out ? kTimedOut : 0;
    default: return 0;  // preload values are write-only
  }
}

// Every write but those of the unlocking sequence and to the status needs the sequence before it.
void I6300Esb::write_register(uint64_t offset, uint64_t value) {
  const auto word = static_cast<uint32_t>(value);
  const Lock lock(mutex_);
  if (offset == kInterruptStatus) {
    s_.interrupt = s_.interrupt && (word & kStatusActive) == 0;
    return;
  }
  if (s_.unlock == kUnlocked) {
    s_.unlock = 0;
    unlocked_write(offset, word);
    return;
  }
  const bool first = offset == kReload && (word & 0xFFFF) == kUnlockFirst;
  const bool second = offset == kReload && (word & 0xFFFF) == kUnlockSecond && s_.unlock == 1;
  s_.unlock = second ? kUnlocked : first ? 1 : 0;
}

void I6300Esb::unlocked_write(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kPreload1: s_.preload[0] = value & kPreloadMask; break;
    case kPreload2: s_.preload[1] = value & kPreloadMask; break;
    case kReload:
      if ((value & kTimedOut) != 0) {
        s_.timed_out = false;
      }
      if ((value & kReloadTimer) != 0 && enabled() && (s_.lock & kFreeRunning) == 0) {
        start_stage(1);
      }
      break;
    default: break;
  }
}

void I6300Esb::start_stage(uint8_t stage) {
  s_.stage = stage;
  timer_.start(stage_ns(s_.preload.at(stage - 1U), (s_.config & kFastClock) != 0));
}

void I6300Esb::stage_over() {
  bool act = false;
  {
    const Lock lock(mutex_);
    if (timer_.counts() || !enabled()) {
      return;  // the guest was faster
    }
    if (s_.stage == 1) {
      s_.interrupt = true;
      start_stage(2);
      return;
    }
    act = (s_.config & kNoOutput) == 0;
    s_.timed_out = true;
    if ((s_.lock & kFreeRunning) != 0) {
      start_stage(1);
    }
  }
  if (act) {
    expired_();
  }
}

uint32_t I6300Esb::config_read(uint16_t offset, uint8_t size) {
  const Lock lock(mutex_);
  if (offset >= kConfig && offset < kConfig + 4) {
    return static_cast<uint32_t>(truncate_to(uint32_t{s_.config} >> (8 * (offset - kConfig)), size));
  }
  if (offset >= kLock && offset < kLock + 4) {
    return static_cast<uint32_t>(truncate_to(uint32_t{s_.lock} >> (8 * (offset - kLock)), size));
  }
  return PciFunction::config_read(offset, size);
}

void I6300Esb::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  if (offset == kConfig) {
    const Lock lock(mutex_);
    s_.config = static_cast<uint16_t>((size == 1 ? (s_.config & 0xFF00U) | (value & 0xFF) : value) & kConfigMask);
  } else if (offset == kLock) {
    const Lock lock(mutex_);
    write_lock(static_cast<uint8_t>(value));
  } else if (offset < kConfig || offset > kLock + 3) {
    PciFunction::config_write(offset, size, value);
  }
}

// A locked watchdog cannot be switched off or on before the next reset.
void I6300Esb::write_lock(uint8_t value) {
  if ((s_.lock & kLocked) != 0) {
    return;
  }
  const bool was = enabled();
  s_.lock = value & kLockMask;
  if (enabled() && !was) {
    start_stage(1);
  } else if (!enabled()) {
    timer_.stop();
  }
}

}  // namespace lodge
