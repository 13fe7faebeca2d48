// Reads and writes of registers: bytes of a file, some of which do something. An access may begin and end anywhere in it.
#include <algorithm>
#include <cstring>

#include "devices/rtl8139/device.h"
#include "devices/rtl8139/eeprom.h"

namespace lodge {

using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

struct Row {
  uint8_t at;
  uint8_t bytes;
  uint32_t writable = UINT32_MAX;  // of those that do nothing special
};
// Read only: what is not here.
constexpr std::array kRows{
    Row{kId, 4},
    Row{kId + 4, 2},
    Row{kMulticast, 4},
    Row{kMulticast + 4, 4},
    Row{kTxStatus, 4},
    Row{kTxStatus + 4, 4},
    Row{kTxStatus + 8, 4},
    Row{kTxStatus + 12, 4},
    Row{kTxAddress, 4},
    Row{kTxAddress + 4, 4},
    Row{kTxAddress + 8, 4},
    Row{kTxAddress + 12, 4},
    Row{kRxBuffer, 4},
    Row{kCommand, 1},
    Row{kRxRead, 2},
    Row{kIntMask, 2, kIntAll},
    Row{kIntStatus, 2},
    Row{kTxConfig, 4},
    Row{kRxConfig, 4, kRxConfigWritable},
    Row{kTimer, 4},
    Row{kMissed, 4},
    Row{kEepromCommand, 1},
    Row{kConfig1, 1, 0xF3},
    Row{kTimerInt, 4},
    Row{kMediaStatus, 1, kFlowControl},
    Row{kConfig3, 1, 0x7A},
    Row{kConfig4, 1},
    Row{kMultiInt, 2},
    Row{kBasicControl, 2},
    Row{kAdvertise, 2},
    Row{kNwayTest, 2, 0x00FF},
    Row{kCsConfig, 2},
    Row{kPhy1, 4},
    Row{kTwister, 4},
    Row{kPhy2, 1},
    Row{kFlash, 4},
    Row{kConfig5, 1, 0x7F},
    Row{kTxPoll, 1},
    Row{kPlusCommand, 2, kPlusWritable},
    Row{kRxRing, 4},
    Row{kRxRing + 4, 4},
    Row{kTxThreshold, 1, 0x3F},
};

// The row that each byte belongs to, from 1; 0: none.
constexpr std::array<uint8_t, kRegisterBytes> kRowOf = [] {
  std::array<uint8_t, kRegisterBytes> found{};
  for (size_t row = 0; row < kRows.size(); ++row) {
    for (size_t i = 0; i < kRows[row].bytes; ++i) {
      found[kRows[row].at + i] = static_cast<uint8_t>(row + 1);
    }
  }
  return found;
}();

constexpr bool is_wake_frame(uint32_t at) { return at >= kWakeFirst && at <= kWakeLast; }
constexpr bool is_locked(uint32_t at) { return at == kConfig1 || at == kConfig3 || at == kConfig4; }

}  // namespace

uint32_t Rtl8139::get(uint32_t at, unsigned bytes) const {
  uint32_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) {
    value |= uint32_t{s_.registers[at + i]} << (8 * i);
  }
  return value;
}

uint64_t Rtl8139::get64(uint32_t at) const { return get(at, 4) | uint64_t{get(at + 4, 4)} << 32; }

void Rtl8139::put(uint32_t at, unsigned bytes, uint32_t value) {
  for (unsigned i = 0; i < bytes; ++i) {
    s_.registers[at + i] = static_cast<uint8_t>(value >> (8 * i));
  }
}

void Rtl8139::raise(uint16_t cause) {
  put(kIntStatus, 2, get(kIntStatus, 2) | cause);
  update_interrupt();
}

void Rtl8139::update_interrupt() { set_intx((get(kIntStatus, 2) & get(kIntMask, 2)) != 0); }

// Registers that tell how it is now.
void Rtl8139::show(uint32_t at) {
  switch (at) {
    case kCommand: {
      const bool empty = plus(kPlusRx) || ring_used() == 0;
      put(kCommand, 1, (get(kCommand, 1) & ~uint32_t{kBufferEmpty}) | (empty ? kBufferEmpty : 0));
      break;
    }
    case kTimer: put(kTimer, 4, timer_now()); break;
    case kEepromCommand:
      put(kEepromCommand, 1, (get(kEepromCommand, 1) & ~uint32_t{kEeOut}) | (s_.eeprom.data ? kEeOut : 0));
      break;
    case kTxSummary: {
      uint32_t summary = 0;
      for (unsigned i = 0; i < kTxDescriptors; ++i) {
        const uint32_t status = get(kTxStatus + 4 * i, 4);
        const auto flag = [&](uint32_t bit, unsigned first) { summary |= (status & bit) != 0 ? 1U << (first + i) : 0; };
        flag(kTxOwn, 0);
        flag(kTxUnderrun, 8);
        flag(kTxOk, 12);
      }
      put(kTxSummary, 2, summary);
      break;
    }
    default: break;
  }
}

uint64_t Rtl8139::io_read(IoAccess access) {
  static constexpr std::array kShown{Row{kCommand, 1}, Row{kTimer, 4}, Row{kEepromCommand, 1}, Row{kTxSummary, 2}};
  const Lock lock(mutex_);
  const auto begin = static_cast<uint32_t>(access.offset);
  const uint32_t end = std::min<uint32_t>(begin + access.size, kRegisterBytes);
  for (const Row& row : kShown) {
    if (row.at < end && row.at + uint32_t{row.bytes} > begin) {
      show(row.at);
    }
  }
  uint64_t value = 0;
  for (uint32_t at = begin; at < end; ++at) {
    value |= uint64_t{s_.registers[at]} << (8 * (at - begin));
  }
  return value;
}

void Rtl8139::io_write(IoAccess access, uint64_t value) {
  bool wakes = false;
  {
    const Lock lock(mutex_);
    const auto end = static_cast<uint32_t>(access.offset) + access.size;
    for (auto at = static_cast<uint32_t>(access.offset); at < end && at < kRegisterBytes;) {
      const auto byte_at = [&](uint32_t place) {
        return static_cast<uint32_t>(value >> (8 * (place - access.offset)) & 0xFF);
      };
      if (is_wake_frame(at)) {
        put(at, 1, byte_at(at));
      }
      if (kRowOf[at] == 0) {
        ++at;
        continue;
      }
      const Row& row = kRows[kRowOf[at] - 1U];
      uint32_t bits = 0;
      uint32_t mask = 0;
      for (unsigned i = 0; i < row.bytes; ++i) {
        if (row.at + i >= at && row.at + i < end) {
          bits |= byte_at(row.at + i) << (8 * i);
          mask |= 0xFFU << (8 * i);
        }
      }
      wakes = write_register(row.at, row.bytes, bits, mask) || wakes;
      at = uint32_t{row.at} + row.bytes;
    }
  }
  if (wakes) {
    wake();
  }
}

// `value` has the bits that were written, `mask` says which ones. True: the loop has something to look at.
bool Rtl8139::write_register(uint32_t at, unsigned bytes, uint32_t value, uint32_t mask) {
  const uint32_t before = get(at, bytes);
  const uint32_t now = (before & ~mask) | value;
  switch (at) {
    case kCommand: write_command(static_cast<uint8_t>(value)); return true;
    case kTxStatus:
    case kTxStatus + 4:
    case kTxStatus + 8:
    case kTxStatus + 12: write_tx_status(at, now); return true;
    case kTxNormal:
    case kTxHigh:
      put(at, 4, now);
      s_.tx_index.at(at == kTxHigh ? 1 : 0) = 0;
      return false;
    case kRxRing:
      put(at, 4, now);
      s_.rx_index = 0;
      return true;
    case kRxBuffer:
      put(at, 4, now);
      put(kRxWritten, 2, 0);
      return false;
    case kIntStatus:
      put(at, 2, before & ~value);
      update_interrupt();
      return starved_.has_value();
    case kIntMask:
      put(at, 2, now & kIntAll);
      update_interrupt();
      return starved_.has_value();
    case kTxConfig: put(at, 4, (now & kTxConfigWritable) | kHardwareVersion); return true;
    case kTimer:
      s_.timer = 0;
      resumed_ = Clock::now();
      timer_changed_ = true;
      return true;
    case kTimerInt:
      put(at, 4, now);
      timer_changed_ = true;
      return true;
    case kMissed: put(at, 4, 0); return false;
    case kEepromCommand: write_eeprom_command(static_cast<uint8_t>(value)); return false;
    case kBasicControl: write_basic_control(static_cast<uint16_t>(now)); return false;
    case kTxPoll:
      put(at, 1, before | (value & (kPollHigh | kPollNormal)));
      if ((value & kForceInterrupt) != 0) {
        raise(kIntSoftware);
      }
      return true;
    default: break;
  }
  if (!is_locked(at) || (get(kEepromCommand, 1) & kEeMode) == kEeConfig) {
    const uint32_t writable = kRows[kRowOf[at] - 1U].writable;
    put(at, bytes, (before & ~writable) | (now & writable));
  }
  return at == kRxRead || at == kRxConfig || at == kPlusCommand;
}

void Rtl8139::write_command(uint8_t value) {
  if ((value & kReset) != 0) {
    reset_controller();
    update_interrupt();
    return;
  }
  // Who switches a direction on begins at its rings' start.
  const uint8_t on = value & ~get(kCommand, 1) & (kTxEnable | kRxEnable);
  if ((on & kTxEnable) != 0) {
    s_.tx_index = {};
  }
  if ((on & kRxEnable) != 0) {
    s_.rx_index = 0;
    starved_.reset();
  }
  put(kCommand, 1, value & (kTxEnable | kRxEnable));
}

// In the C mode who writes a descriptor hands it over; in the C+ mode the first two are another register.
void Rtl8139::write_tx_status(uint32_t at, uint32_t value) {
  if (!plus(kPlusTx | kPlusRx)) {
    put(at, 4, value & (kTxSize | kTxEarly | kTxOwn));
    return;
  }
  put(at, 4, value);
  if (at == kDump && (value & kDumpNow) != 0) {
    dump_counters();
    put(at, 4, value & ~kDumpNow);
  }
}

void Rtl8139::dump_counters() {
  const Rtl8139Tally& tally = s_.tally;
  std::array<std::byte, 64> bytes{};
  size_t at = 0;
  const auto add = [&](auto value) {
    std::memcpy(bytes.data() + at, &value, sizeof(value));
    at += sizeof(value);
  };
  add(tally.tx_ok);
  add(tally.rx_ok);
  add(tally.tx_errors);
  add(tally.rx_errors);
  add(tally.missed);
  add(uint16_t{0});  // frames out of step,
  add(uint32_t{0});  // sent after one collision,
  add(uint32_t{0});  // after more: none on this wire
  add(tally.rx_physical);
  add(tally.rx_broadcast);
  add(tally.rx_multicast);
  add(uint16_t{0});  // given up after collisions
  add(tally.tx_underruns);
  if (!bus_master() || !env_.memory.write_bytes(Gpa{get64(kDump) & ~(kDumpAlignment - 1)}, bytes)) {
    guest_warning(warnings_, name(), "the counters are to go outside of RAM");
  }
}

void Rtl8139::write_eeprom_command(uint8_t value) {
  if ((value & kEeMode) == kEeAutoload) {
    step(s_.eeprom, false, false, false);
    load_address();
    value = 0;
  }
  const bool select = (value & kEeMode) == kEeProgram && (value & kEeSelect) != 0;
  step(s_.eeprom, select, (value & kEeClock) != 0, (value & kEeIn) != 0);
  put(kEepromCommand, 1, value & (kEeMode | kEeSelect | kEeClock | kEeIn));
}

void Rtl8139::write_basic_control(uint16_t value) {
  if ((value & kPhyReset) != 0) {
    put(kBasicControl, 2, kPhyChoice);
    put(kAdvertise, 2, 0x05E1);
  } else if ((get(kEepromCommand, 1) & kEeMode) == kEeConfig) {
    put(kBasicControl, 2, value & kPhyChoice);
  }
  if ((value & (kPhyReset | kPhyRestart)) != 0) {
    raise(kIntLink);
  }
}

void Rtl8139::show_link() {
  put(kMediaStatus, 1, (get(kMediaStatus, 1) & kFlowControl) | (s_.link_up ? 0 : kLinkDown));
  put(kBasicStatus, 2, 0x7809 | (s_.link_up ? kPhyLink | kPhyNegotiated : 0));
  put(kPartner, 2, s_.link_up ? 0x45E1 : 0);
  put(kExpansion, 2, s_.link_up ? 1 : 0);
}

void Rtl8139::load_address() {
  const net::MacAddress mac = eeprom_mac(s_.eeprom);
  std::ranges::copy(mac, s_.registers.begin() + kId);
}

// What a reset by the command register leaves: address, configuration, PHY.
void Rtl8139::reset_board() {
  step(s_.eeprom, false, false, false);
  s_.eeprom.writable = false;
  load_address();
  put(kConfig1, 1, 0x0C);  // by memory and by ports
  put(kConfig3, 1, 0x01);
  put(kRevision, 1, 0x20);
  put(kBasicControl, 2, kPhyChoice);
  put(kAdvertise, 2, 0x05E1);
  show_link();
}

void Rtl8139::reset_controller() {
  for (unsigned i = 0; i < kTxDescriptors; ++i) {
    put(kTxStatus + 4 * i, 4, kTxOwn);
    put(kTxAddress + 4 * i, 4, 0);
  }
  for (const uint32_t at : {uint32_t{kRxBuffer}, uint32_t{kRxRing}, uint32_t{kRxRing + 4}, uint32_t{kTimerInt},
                            uint32_t{kMissed}, uint32_t{kRxConfig}}) {
    put(at, 4, 0);
  }
  for (const uint32_t at : {kRxWritten, kIntMask, kIntStatus, kMultiInt, kPlusCommand}) {
    put(at, 2, 0);
  }
  for (const uint32_t at : {kCommand, kEepromCommand, kTxPoll, kTxThreshold}) {
    put(at, 1, 0);
  }
  put(kRxRead, 2, 0xFFF0);  // 16 before the place that is read next
  put(kTxConfig, 4, kHardwareVersion);
  s_.tx_next = 0;
  s_.tx_index = {};
  s_.rx_index = 0;
  s_.timer = 0;
  resumed_ = Clock::now();
  starved_.reset();
  timer_changed_ = true;
}

}  // namespace lodge
