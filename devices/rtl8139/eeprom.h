// A 93C46: 64 words behind a chip select, a clock and one bit each way. Pure; under its owner's mutex.
#pragma once

#include "devices/net/nic.h"
#include "devices/rtl8139/state.h"

namespace lodge::rtl8139 {

inline constexpr size_t kEepromWords = 64;

// As the card's maker fills it for this address.
[[nodiscard]] std::vector<uint16_t> eeprom_words(const net::MacAddress& mac);
[[nodiscard]] net::MacAddress eeprom_mac(const EepromState& eeprom);

// The three lines are at these levels now.
void step(EepromState& eeprom, bool select, bool clock, bool data);

// Whether a saved one can be.
[[nodiscard]] bool is_sound(const EepromState& eeprom);

}  // namespace lodge::rtl8139
