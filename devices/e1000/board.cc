// What is on the card besides the controller: the PHY, a Marvell 88E1011, and a Microwire EEPROM of 64 words.
#include "devices/e1000/device.h"

namespace lodge {

using namespace e1000;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr size_t kEepromWords = 64;
constexpr size_t kAddressBits = 6;
constexpr uint32_t kReadCommand = 0b110;  // a start bit and the code
constexpr size_t kCommandBits = 3;

constexpr bool is_phy_writable(uint32_t at) {
  return at == kPhyControl || at == kPhyAdvertise || at == kPhyGigabitControl || at == kPhySpecificControl ||
         (at >= 18 && at != 21);
}

}  // namespace

void E1000::reset_phy() {
  s_.phy = {};
  s_.phy[kPhyControl] = 0x1140;  // 1000 Mbit/s, full duplex, negotiates
  s_.phy[kPhyStatus] = 0x7949;
  s_.phy[kPhyId1] = 0x0141;
  s_.phy[kPhyId2] = 0x0C20;
  s_.phy[kPhyAdvertise] = 0x0DE1;
  s_.phy[kPhyPartner] = 0x45E1;
  s_.phy[kPhyExpansion] = 0x0001;
  s_.phy[kPhyGigabitControl] = 0x0E00;
  s_.phy[kPhyGigabitStatus] = 0x3C00;
  s_.phy[kPhyExtendedStatus] = 0x3000;
  s_.phy[kPhySpecificControl] = 0x0068;
  s_.phy[kPhySpecificStatus] = 0xA800;
  s_.phy[20] = 0x0D60;
  show_link();
}

void E1000::show_link() {
  const auto set = [](uint16_t& word, uint16_t bits, bool on) {
    word = static_cast<uint16_t>(on ? word | bits : word & ~bits);
  };
  set(s_.phy[kPhyStatus], kPhyLinkUp | kPhyNegotiated, s_.link_up);
  set(s_.phy[kPhySpecificStatus], kPhySpecificLinkUp, s_.link_up);
}

void E1000::write_mdic(uint32_t value) {
  const uint32_t at = value >> 16 & 0x1F;
  uint32_t answer = (value & 0x3FFFFFF & ~0xFFFFU) | (value & (kMdicWrite | kMdicRead)) | kMdicReady;
  if ((value >> 21 & 0x1F) != kPhyAddress) {
    answer |= kMdicError;
  } else if ((value & kMdicRead) != 0) {
    answer |= s_.phy.at(at);
  } else if ((value & kMdicWrite) != 0) {
    answer |= value & 0xFFFF;
    if (at == kPhyControl && (value & kPhyControlReset) != 0) {
      reset_phy();
    } else if (is_phy_writable(at)) {
      s_.phy.at(at) = static_cast<uint16_t>(at == kPhyControl ? value & ~uint32_t{kPhyRestartNegotiation} : value);
    }
    if (at == kPhyControl && (value & (kPhyControlReset | kPhyRestartNegotiation)) != 0) {
      raise(kIntLink);
    }
  }
  reg(kMdic) = answer | (value & kMdicInterrupt);
  if ((value & kMdicInterrupt) != 0) {
    raise(kIntMdio);
  }
}

// The address, and a sum that makes all words 0xBABA.
uint16_t E1000::eeprom_word(size_t at) const {
  static constexpr std::array<uint16_t, kEepromWords> kWords = [] {
    std::array<uint16_t, kEepromWords> words{};
    words[3] = 0x0000;
    words[4] = words[5] = words[6] = words[7] = 0xFFFF;
    words[8] = 0x3000;
    words[9] = 0x1000;
    words[0x0A] = 0x6403;
    words[0x0B] = 0x100E;
    words[0x0C] = 0x8086;
    words[0x0D] = 0x100E;
    words[0x0E] = 0x8086;
    words[0x0F] = 0x3040;
    words[0x10] = 0x0008;
    words[0x11] = 0x2000;
    words[0x12] = 0x7E14;
    words[0x13] = 0x0048;
    words[0x14] = 0x1000;
    words[0x15] = 0x00D8;
    words[0x17] = 0x2700;
    words[0x18] = 0x6CC9;
    words[0x19] = 0x3150;
    words[0x1A] = 0x0722;
    words[0x1B] = 0x040B;
    words[0x1C] = 0x0984;
    words[0x1E] = 0xC000;
    words[0x1F] = 0x0706;
    words[0x20] = 0x1008;
    words[0x22] = 0x0F04;
    words[0x23] = 0x7FFF;
    words[0x24] = 0x4D01;
    return words;
  }();
  if (at < 3) {
    return static_cast<uint16_t>(permanent_mac_.at(2 * at) | permanent_mac_.at(2 * at + 1) << 8);
  }
  if (at != kEepromWords - 1) {
    return at < kEepromWords ? kWords.at(at) : uint16_t{0xFFFF};
  }
  uint16_t sum = 0;
  for (size_t i = 0; i + 1 < kEepromWords; ++i) {
    sum = static_cast<uint16_t>(sum + eeprom_word(i));
  }
  return static_cast<uint16_t>(kEepromSum - sum);
}

void E1000::write_eerd(uint32_t value) {
  if ((value & kEerdStart) != 0) {
    reg(kEerd) = uint32_t{eeprom_word(value >> 8 & 0xFF)} << 16 | (value & 0xFF00) | kEerdDone;
  }
}

// Bit by bit: with the chip selected, in at the clock's rise, out at its rise, too, after the address (and a zero).
void E1000::write_eecd(uint32_t value) {
  const uint32_t before = get(kEecd);
  uint32_t now = (value & (kEeClock | kEeSelect | kEeIn | kEeRequest)) | kEePresent | (before & kEeOut);
  if ((value & kEeRequest) != 0) {
    now |= kEeGrant;
  }
  if ((value & kEeSelect) == 0) {
    s_.eeprom_in = 0;
    s_.eeprom_left = 0;
  } else if ((value & kEeClock) != 0 && (before & kEeClock) == 0) {
    if (s_.eeprom_left > 0) {
      --s_.eeprom_left;
      now = (s_.eeprom_out >> s_.eeprom_left & 1) != 0 ? now | kEeOut : now & ~kEeOut;
    } else {
      const uint32_t bit = (value & kEeIn) != 0 ? 1 : 0;
      s_.eeprom_in = s_.eeprom_in == 0 ? bit : (s_.eeprom_in << 1 | bit) & 0xFFFF;
      constexpr size_t kBits = kCommandBits + kAddressBits;
      if (s_.eeprom_in >> (kBits - 1) != 0) {
        if (s_.eeprom_in >> kAddressBits == kReadCommand) {
          s_.eeprom_out = eeprom_word(s_.eeprom_in & (kEepromWords - 1));
          s_.eeprom_left = 16;
        }
        s_.eeprom_in = 0;
        now &= ~kEeOut;  // the zero in front
      }
    }
  }
  reg(kEecd) = now;
}

}  // namespace lodge
