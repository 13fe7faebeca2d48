#include "devices/legacy/power/device.h"

namespace lodge {
namespace {

constexpr uint16_t kPowerButtonBit = 1U << 8;  // PM1 status and enable
constexpr uint16_t kStatusClearable = 0x8F31;  // bits that a guest clears by writing 1
constexpr uint16_t kSciEnable = 1;             // PM1 control
constexpr uint16_t kSleepEnable = 1U << 13;
constexpr uint64_t kTimerHertz = 3579545;

}  // namespace

Result<std::unique_ptr<FixedPower>> FixedPower::create(const DeviceEnv& env, IrqLine& sci, PowerFn power,
                                                       const StateReader* saved) {
  std::unique_ptr<FixedPower> self(new FixedPower(sci, std::move(power)));
  if (saved != nullptr) {
    const auto state = TRY(saved->get<FixedPowerState>("power0"));
    const Lock lock(self->mutex_);
    self->state_ = state;
    self->timer_start_ -= std::chrono::nanoseconds(state.timer_nanoseconds);
    self->update_sci();
  }
  TRY_VOID(self->map(env));
  return self;
}

Result<void> FixedPower::map(const DeviceEnv& env) {
  const struct {
    uint16_t port;
    uint16_t size;
  } ranges[] = {{kPm1Event, 12}, {kGpe0, 4}, {kSmiCommand, 2}, {kKeyboardCommand, 1}};
  for (size_t i = 0; i < mappings_.size(); ++i) {
    mappings_[i] = TRY(env.pio.add(ranges[i].port, ranges[i].size, "power0", unowned(blocks_[i])));
  }
  return {};
}

uint64_t FixedPower::timer_nanoseconds() const {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - timer_start_).count());
}

void FixedPower::update_sci() {
  const bool pm = (state_.status & state_.enable & kPowerButtonBit) != 0;
  const bool gpe = (state_.gpe[0] & state_.gpe[2]) != 0 || (state_.gpe[1] & state_.gpe[3]) != 0;
  sci_.set(pm || gpe);
}

void FixedPower::press_power_button() {
  const Lock lock(mutex_);
  state_.status |= kPowerButtonBit;
  update_sci();
}

void FixedPower::raise(unsigned gpe) {
  const Lock lock(mutex_);
  state_.gpe[0] |= static_cast<uint8_t>(1U << gpe);
  update_sci();
}

uint64_t FixedPower::read_pm(IoAccess access) {
  const Lock lock(mutex_);
  // 128-bit arithmetic: nanoseconds since boot times hertz outgrows 64 bits after an hour and a half.
  const auto ticks =
      static_cast<uint32_t>(static_cast<unsigned __int128>(timer_nanoseconds()) * kTimerHertz / 1'000'000'000);
  const std::array<uint64_t, 2> words{state_.status | uint64_t{state_.enable} << 16 | uint64_t{state_.control} << 32,
                                      uint64_t{ticks}};
  const uint64_t word = words[access.offset / 8] >> (8 * (access.offset % 8));
  return truncate_to(word, access.size);
}

void FixedPower::write_pm(IoAccess access, uint64_t value) {
  bool off = false;
  {
    const Lock lock(mutex_);
    const auto with_byte = [](uint16_t word, unsigned index, uint8_t byte) {
      return static_cast<uint16_t>((word & ~(0xFFU << (8 * index))) | (unsigned{byte} << (8 * index)));
    };
    for (unsigned i = 0; i < access.size; ++i) {
      const auto byte = static_cast<uint8_t>(value >> (8 * i));
      const auto at = static_cast<unsigned>(access.offset) + i;
      switch (at / 2) {
        case 0: state_.status &= static_cast<uint16_t>(~(with_byte(0, at % 2, byte) & kStatusClearable)); break;
        case 1: state_.enable = with_byte(state_.enable, at % 2, byte); break;
        case 2: state_.control = with_byte(state_.control, at % 2, byte); break;
        default: break;
      }
    }
    off = (state_.control & kSleepEnable) != 0 && ((state_.control >> 10) & 7) == 0;  // sleep type 0 is S5
    state_.control &= static_cast<uint16_t>(~kSleepEnable);                           // reads as 0
    update_sci();
  }
  if (off) {
    power_(PowerEvent::shutdown, 0);
  }
}

uint64_t FixedPower::read_gpe(IoAccess access) {
  const Lock lock(mutex_);
  uint64_t value = 0;
  for (uint64_t i = 0; i < access.size; ++i) {
    value |= uint64_t{state_.gpe[access.offset + i]} << (8 * i);
  }
  return value;
}

void FixedPower::write_gpe(IoAccess access, uint64_t value) {
  const Lock lock(mutex_);
  for (uint64_t i = 0; i < access.size; ++i) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    uint8_t& target = state_.gpe[access.offset + i];
    if (access.offset + i < 2) {
      target &= static_cast<uint8_t>(~byte);  // status: write 1 to clear
    } else {
      target = byte;
    }
  }
  update_sci();
}

uint64_t FixedPower::read_none(IoAccess) { return 0; }

void FixedPower::write_smi(IoAccess access, uint64_t value) {
  const Lock lock(mutex_);
  if (access.offset == 0 && (value & 0xFF) == kAcpiEnable) {
    state_.control |= kSciEnable;
  } else if (access.offset == 0 && (value & 0xFF) == kAcpiDisable) {
    state_.control &= static_cast<uint16_t>(~kSciEnable);
  }
}

void FixedPower::write_reset(IoAccess, uint64_t value) {
  if ((value & 4) != 0) {
    power_(PowerEvent::reset, 0);
  }
}

void FixedPower::write_keyboard(IoAccess, uint64_t value) {
  if ((value & 0xFF) == 0xFE) {
    power_(PowerEvent::reset, 0);
  }
}

void FixedPower::save(StateWriter& out) const {
  const Lock lock(mutex_);
  FixedPowerState state = state_;
  state.timer_nanoseconds = timer_nanoseconds();
  out.put("power0", state);
}

void FixedPower::reset() {
  const Lock lock(mutex_);
  state_ = FixedPowerState{};
  update_sci();
}

}  // namespace lodge
