#include "devices/rtl8139/eeprom.h"

#include <algorithm>

namespace lodge::rtl8139 {
namespace {

constexpr unsigned kAddressBits = 6;
constexpr unsigned kCommandBits = 3 + kAddressBits;  // a start bit, two of the code
constexpr unsigned kDataBits = 16;
constexpr size_t kMacWord = 7;
constexpr uint16_t kErased = 0xFFFF;

enum Code : uint8_t { kExtended = 0, kWrite = 1, kRead = 2, kErase = 3 };
// Of the extended ones, by the two highest bits of the address.
enum Extended : uint8_t { kLock = 0, kWriteAll = 1, kEraseAll = 2, kUnlock = 3 };

// A command that is followed by a word.
void write(EepromState& eeprom, bool all, uint32_t address, uint16_t word) {
  if (eeprom.writable && all) {
    std::ranges::fill(eeprom.words, word);
  } else if (eeprom.writable) {
    eeprom.words[address] = word;
  }
}

// The last bit of a command came. True: it wants a word.
bool begin(EepromState& eeprom, uint32_t command) {
  const uint32_t address = command & (kEepromWords - 1);
  switch (command >> kAddressBits & 3) {
    case kRead:
      eeprom.out = eeprom.words[address];
      eeprom.left = kDataBits;
      eeprom.data = false;  // the zero in front
      return false;
    case kErase: write(eeprom, false, address, kErased); return false;
    case kWrite: return true;
    default: break;
  }
  switch (address >> (kAddressBits - 2)) {
    case kLock: eeprom.writable = false; return false;
    case kUnlock: eeprom.writable = true; return false;
    case kEraseAll: write(eeprom, true, 0, kErased); return false;
    default: return true;
  }
}

}  // namespace

std::vector<uint16_t> eeprom_words(const net::MacAddress& mac) {
  std::vector<uint16_t> words(kEepromWords);
  words[0] = 0x8129;  // by which drivers know that there is something in it
  words[1] = 0x10EC;
  words[2] = 0x8139;
  words[3] = 0x1AF4;
  words[4] = 0x1100;
  words[5] = 0x4020;
  words[6] = 0x0110;
  for (size_t i = 0; i < mac.size() / 2; ++i) {
    words[kMacWord + i] = static_cast<uint16_t>(mac.at(2 * i) | mac.at(2 * i + 1) << 8);
  }
  return words;
}

net::MacAddress eeprom_mac(const EepromState& eeprom) {
  net::MacAddress mac{};
  for (size_t i = 0; i < mac.size(); ++i) {
    mac.at(i) = static_cast<uint8_t>(eeprom.words[kMacWord + i / 2] >> (i % 2 * 8));
  }
  return mac;
}

bool is_sound(const EepromState& eeprom) {
  return eeprom.words.size() == kEepromWords && eeprom.left <= kDataBits && eeprom.in >> (kCommandBits + kDataBits) == 0;
}

void step(EepromState& eeprom, bool select, bool clock, bool data) {
  const bool rises = clock && !eeprom.clock;
  eeprom.clock = clock;
  if (!select) {
    eeprom.in = 0;
    eeprom.left = 0;
    eeprom.data = true;  // ready
    return;
  }
  if (!rises) {
    return;
  }
  if (eeprom.left > 0) {
    --eeprom.left;
    eeprom.data = (eeprom.out >> eeprom.left & 1) != 0;
    return;
  }
  eeprom.in = eeprom.in << 1 | (data ? 1U : 0U);  // zeros before the start bit are none
  if (eeprom.in >> (kCommandBits - 1) == 1) {
    if (!begin(eeprom, eeprom.in)) {
      eeprom.in = 0;
    }
  } else if (eeprom.in >> (kCommandBits + kDataBits - 1) != 0) {
    const uint32_t command = eeprom.in >> kDataBits;
    write(eeprom, (command >> kAddressBits & 3) == kExtended, command & (kEepromWords - 1),
          static_cast<uint16_t>(eeprom.in));
    eeprom.in = 0;
    eeprom.data = true;
  }
}

}  // namespace lodge::rtl8139
