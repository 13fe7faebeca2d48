#include "devices/chipset/power/device.h"

#include "devices/pci/chipset.h"
#include "devices/pci/registers.h"

namespace lodge {
namespace {

// Configuration space (290562, chapter 7).
constexpr uint16_t kPmBaseRegister = 0x40;
constexpr uint16_t kDeviceActivity = 0x58;
constexpr uint16_t kPmEnableRegister = 0x80;
constexpr uint8_t kPmEnable = 1;
constexpr uint16_t kSmbusBaseRegister = 0x90;
constexpr uint16_t kSmbusConfigRegister = 0xD2;
// "System management interrupts by port 0xB2 are in use": tells firmware that it cannot have system management mode.
constexpr uint8_t kSmmInUse[4] = {0, 0, 0, 0x02};

constexpr uint8_t kSmbusStart = 0x40;        // in the host control register
constexpr uint8_t kSmbusDeviceError = 0x04;  // nobody answered
constexpr uint64_t kSmbusStatus = 0;
constexpr uint64_t kSmbusControl = 2;

constexpr uint16_t kPowerButtonBit = 1U << 8;  // PM1 status and enable
constexpr uint16_t kStatusClearable = 0x8F31;  // bits that a guest clears by writing 1
constexpr uint16_t kSciEnable = 1;             // PM1 control
constexpr uint16_t kSleepEnable = 1U << 13;
constexpr uint64_t kTimerHertz = 3579545;

}  // namespace

FixedPower::FixedPower(const DeviceEnv& env, IrqLine& sci, PowerFn power, Placed placed)
    : PciFunction("power0", kPowerPiix4, env), sci_(sci), power_(std::move(power)), placed_(placed) {
  constexpr uint8_t kBaseMask[2] = {0xC0, 0xFF};
  constexpr uint8_t kEnableMask[1] = {kPmEnable};
  constexpr uint8_t kSmbusBaseMask[2] = {0xF0, 0xFF};
  constexpr uint8_t kSmbusConfigMask[1] = {0x0F};
  allow_writes(kPmBaseRegister, kBaseMask);
  allow_writes(kPmEnableRegister, kEnableMask);
  allow_writes(kSmbusBaseRegister, kSmbusBaseMask);
  allow_writes(kSmbusConfigRegister, kSmbusConfigMask);
  constexpr uint8_t kPin[1] = {1};  // INTA, which is IRQ 9 here, whatever the steering says
  set_config(pci::kInterruptPin, kPin);
  set_config(kDeviceActivity, kSmmInUse);
}

Result<std::shared_ptr<FixedPower>> FixedPower::create(const DeviceEnv& env, IrqLine& sci, PowerFn power, Placed placed,
                                                       const StateReader* saved) {
  std::shared_ptr<FixedPower> self(new FixedPower(env, sci, std::move(power), placed));
  TRY_VOID(self->map());
  if (saved == nullptr) {
    self->reset();
    return self;
  }
  const auto state = TRY(saved->get<FixedPowerState>("power0"));
  PciState function;
  function.command = state.command;
  function.interrupt_line = state.interrupt_line;
  TRY_VOID(self->load_pci(function));
  self->set_function(state);
  const Lock lock(self->mutex_);
  self->state_ = state;
  self->timer_start_ -= std::chrono::nanoseconds(state.timer_nanoseconds);
  self->update_sci();
  return self;
}

Result<void> FixedPower::map() {
  const struct {
    uint16_t port;
    uint16_t size;
  } ranges[] = {{kGpe0, 4}, {kSmiCommand, 2}, {kKeyboardCommand, 1}};
  for (size_t i = 0; i < mappings_.size(); ++i) {
    if (ranges[i].port == kKeyboardCommand && placed_ == Placed::by_firmware) {
      continue;  // such a machine has the keyboard controller itself
    }
    mappings_[i] = TRY(env_.pio.add(ranges[i].port, ranges[i].size, "power0", unowned(blocks_[i])));
  }
  return {};
}

void FixedPower::set_function(const FixedPowerState& state) {
  const uint8_t base[2] = {static_cast<uint8_t>((state.pm_base & 0xC0) | 1), static_cast<uint8_t>(state.pm_base >> 8)};
  set_config(kPmBaseRegister, base);
  const uint8_t enable[1] = {state.pm_enabled ? kPmEnable : uint8_t{0}};
  set_config(kPmEnableRegister, enable);
  const uint8_t smbus[2] = {static_cast<uint8_t>((state.smbus_base & 0xF0) | 1),
                            static_cast<uint8_t>(state.smbus_base >> 8)};
  set_config(kSmbusBaseRegister, smbus);
  const uint8_t config[1] = {static_cast<uint8_t>(state.smbus_config & 0x0F)};
  set_config(kSmbusConfigRegister, config);
  place();
}

void FixedPower::move(Movable& what, uint16_t to, uint16_t size, Block& block) {
  if (what.at == to) {
    return;
  }
  what.mapping.reset();
  what.at = to;
  if (to == 0) {
    return;
  }
  if (auto mapping = env_.pio.add(to, size, "power0", unowned(block))) {
    what.mapping = std::move(*mapping);
  } else {
    guest_warning(warnings_, "power0", "ports at {:#x} are not mapped: {}", to, mapping.error().message);
  }
}

// The blocks go where the function's registers say.
void FixedPower::place() {
  const Lock lock(place_mutex_);
  const auto base = [this](uint16_t offset, unsigned mask) {
    return static_cast<uint16_t>((config_byte(offset) & mask) | unsigned{config_byte(static_cast<uint16_t>(offset + 1))}
                                                                    << 8);
  };
  const bool pm = (config_byte(kPmEnableRegister) & kPmEnable) != 0;
  const bool smbus = (config_byte(kSmbusConfigRegister) & 1) != 0;
  move(pm_, pm ? base(kPmBaseRegister, 0xC0) : uint16_t{0}, kPmSize, pm_block_);
  move(smbus_, smbus ? base(kSmbusBaseRegister, 0xF0) : uint16_t{0}, kSmbusSize, smbus_block_);
}

void FixedPower::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  if (offset >= pci::kHeaderEnd) {
    place();
  }
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
  const std::array<uint32_t, 3> words{state_.status | uint32_t{state_.enable} << 16, state_.control, ticks};
  uint64_t value = 0;
  for (unsigned i = 0; i < access.size; ++i) {
    const uint64_t at = access.offset + i;
    const uint64_t byte = at / 4 < words.size() ? (words[at / 4] >> (8 * (at % 4))) & 0xFF : 0;  // the rest has nothing
    value |= byte << (8 * i);
  }
  return value;
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

uint64_t FixedPower::read_smi(IoAccess access) {
  const Lock lock(mutex_);
  return truncate_to((state_.apm[0] | unsigned{state_.apm[1]} << 8) >> (8 * access.offset), access.size);
}

uint64_t FixedPower::read_smbus(IoAccess access) {
  const Lock lock(mutex_);
  return access.offset == kSmbusStatus ? smbus_status_ : 0;
}

// A bus on which nobody answers.
void FixedPower::write_smbus(IoAccess access, uint64_t value) {
  const Lock lock(mutex_);
  if (access.offset == kSmbusStatus) {
    smbus_status_ &= static_cast<uint8_t>(~value);
  } else if (access.offset == kSmbusControl && (value & kSmbusStart) != 0) {
    smbus_status_ |= kSmbusDeviceError;
  }
}

void FixedPower::write_smi(IoAccess access, uint64_t value) {
  const Lock lock(mutex_);
  for (uint64_t i = 0; i < access.size; ++i) {
    state_.apm[access.offset + i] = static_cast<uint8_t>(value >> (8 * i));
  }
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
  FixedPowerState state;
  {
    const Lock lock(mutex_);
    state = state_;
    state.timer_nanoseconds = timer_nanoseconds();
  }
  state.pm_base = static_cast<uint16_t>((config_byte(kPmBaseRegister) & 0xC0) | (config_byte(kPmBaseRegister + 1) << 8));
  state.pm_enabled = (config_byte(kPmEnableRegister) & kPmEnable) != 0;
  state.smbus_base =
      static_cast<uint16_t>((config_byte(kSmbusBaseRegister) & 0xF0) | (config_byte(kSmbusBaseRegister + 1) << 8));
  state.smbus_config = config_byte(kSmbusConfigRegister) & 0x0F;
  const PciState function = pci_state();
  state.command = function.command;
  state.interrupt_line = function.interrupt_line;
  out.put("power0", state);
}

void FixedPower::reset() {
  reset_pci();
  FixedPowerState state;
  if (placed_ == Placed::by_firmware) {
    state.pm_base = 0;
    state.pm_enabled = false;
  }
  set_function(state);
  const Lock lock(mutex_);
  state_ = FixedPowerState{};
  smbus_status_ = 0;
  update_sci();
}

}  // namespace lodge
