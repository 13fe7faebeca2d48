// The saved state of the RTL8139C+: its registers, where it is in its rings, its counters and its EEPROM. What is in the
// rings is the guest's.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct EepromState {
  std::vector<uint16_t> words;
  uint32_t in = 0;   // bits that came since the start bit, with it
  uint16_t out = 0;  // a word that is read,
  uint8_t left = 0;  // bits of it
  bool clock = false;
  bool data = true;  // the output
  bool writable = false;
  friend bool operator==(const EepromState&, const EepromState&) = default;
};

struct Rtl8139Tally {
  uint64_t tx_ok = 0;
  uint64_t rx_ok = 0;
  uint64_t tx_errors = 0;
  uint32_t rx_errors = 0;
  uint16_t missed = 0;
  uint64_t rx_physical = 0;
  uint64_t rx_broadcast = 0;
  uint32_t rx_multicast = 0;
  uint16_t tx_underruns = 0;
  friend bool operator==(const Rtl8139Tally&, const Rtl8139Tally&) = default;
};

struct Rtl8139State {
  std::vector<uint8_t> registers;
  uint32_t timer = 0;                 // when it was stopped
  uint8_t tx_next = 0;                // C: the descriptor whose turn it is
  std::array<uint8_t, 2> tx_index{};  // C+: of the normal and of the high ring
  uint8_t rx_index = 0;               // C+
  bool link_up = true;
  Rtl8139Tally tally;
  EepromState eeprom;
  friend bool operator==(const Rtl8139State&, const Rtl8139State&) = default;
};

template <>
struct Schema<EepromState> {
  using S = EepromState;
  static constexpr std::string_view name = "rtl8139-eeprom";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "words", &S::words),      field(2, "in", &S::in),       field(3, "out", &S::out),
                 field(4, "left", &S::left),        field(5, "clock", &S::clock), field(6, "data", &S::data),
                 field(7, "writable", &S::writable)};
};

template <>
struct Schema<Rtl8139Tally> {
  using S = Rtl8139Tally;
  static constexpr std::string_view name = "rtl8139-tally";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "tx-ok", &S::tx_ok),
                                            field(2, "rx-ok", &S::rx_ok),
                                            field(3, "tx-errors", &S::tx_errors),
                                            field(4, "rx-errors", &S::rx_errors),
                                            field(5, "missed", &S::missed),
                                            field(6, "rx-physical", &S::rx_physical),
                                            field(7, "rx-broadcast", &S::rx_broadcast),
                                            field(8, "rx-multicast", &S::rx_multicast),
                                            field(9, "tx-underruns", &S::tx_underruns)};
};

template <>
struct Schema<Rtl8139State> {
  using S = Rtl8139State;
  static constexpr std::string_view name = "rtl8139";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "registers", &S::registers), field(2, "timer", &S::timer),       field(3, "tx-next", &S::tx_next),
                 field(4, "tx-index", &S::tx_index),   field(5, "rx-index", &S::rx_index), field(6, "link-up", &S::link_up),
                 field(7, "tally", &S::tally),         field(8, "eeprom", &S::eeprom)};
};

}  // namespace lodge
