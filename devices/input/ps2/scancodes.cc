#include "devices/input/ps2/scancodes.h"

#include <linux/input-event-codes.h>

#include <cstddef>

namespace lodge::ps2 {
namespace {

constexpr uint8_t kBreak = 0xF0;
constexpr uint8_t kExtended = 0xE0;
constexpr uint8_t kPause = 0xE1;

constexpr std::array<uint8_t, 128> kToSet1 = {
    0xFF, 0x43, 0x41, 0x3F, 0x3D, 0x3B, 0x3C, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3E, 0x0F, 0x29, 0x59,  //
    0x65, 0x38, 0x2A, 0x70, 0x1D, 0x10, 0x02, 0x5A, 0x66, 0x71, 0x2C, 0x1F, 0x1E, 0x11, 0x03, 0x5B,  //
    0x67, 0x2E, 0x2D, 0x20, 0x12, 0x05, 0x04, 0x5C, 0x68, 0x39, 0x2F, 0x21, 0x14, 0x13, 0x06, 0x5D,  //
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5E, 0x6A, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5F,  //
    0x6B, 0x33, 0x25, 0x17, 0x18, 0x0B, 0x0A, 0x60, 0x6C, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0C, 0x61,  //
    0x6D, 0x73, 0x28, 0x74, 0x1A, 0x0D, 0x62, 0x6E, 0x3A, 0x36, 0x1C, 0x1B, 0x75, 0x2B, 0x63, 0x76,  //
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7A, 0x0E, 0x7B, 0x7C, 0x4F, 0x7D, 0x4B, 0x47, 0x7E, 0x7F, 0x6F,  //
    0x52, 0x53, 0x50, 0x4C, 0x4D, 0x48, 0x01, 0x45, 0x57, 0x4E, 0x51, 0x4A, 0x37, 0x49, 0x46, 0x54};

// F7 and SysRq have codes of their own beyond the table.
constexpr uint8_t kF7Set1 = 0x41;
constexpr uint8_t kF7Set2 = 0x83;
constexpr uint8_t kSysRqSet1 = 0x54;
constexpr uint8_t kSysRqSet2 = 0x84;

constexpr std::array<uint8_t, 128> kToSet2 = [] {
  std::array<uint8_t, 128> table{};
  for (std::size_t code = 1; code < kToSet1.size(); ++code) {
    table[kToSet1[code]] = static_cast<uint8_t>(code);
  }
  table[kF7Set1] = kF7Set2;
  table[kSysRqSet1] = kSysRqSet2;
  return table;
}();

// Of a key in set 1: 0 there is none; bit 8: behind E0.
constexpr uint16_t kFar = 0x100;

struct Key {
  uint16_t code;
  uint16_t set1;
};

// Linux counts the keys of a PC's keyboard as set 1 does; these came later.
constexpr std::array kLater = {Key{KEY_RO, 0x73},
                               Key{KEY_KATAKANA, 0x78},
                               Key{KEY_HIRAGANA, 0x77},
                               Key{KEY_HENKAN, 0x79},
                               Key{KEY_KATAKANAHIRAGANA, 0x70},
                               Key{KEY_MUHENKAN, 0x7B},
                               Key{KEY_KPJPCOMMA, 0x5C},
                               Key{KEY_KPENTER, kFar | 0x1C},
                               Key{KEY_RIGHTCTRL, kFar | 0x1D},
                               Key{KEY_KPSLASH, kFar | 0x35},
                               Key{KEY_RIGHTALT, kFar | 0x38},
                               Key{KEY_HOME, kFar | 0x47},
                               Key{KEY_UP, kFar | 0x48},
                               Key{KEY_PAGEUP, kFar | 0x49},
                               Key{KEY_LEFT, kFar | 0x4B},
                               Key{KEY_RIGHT, kFar | 0x4D},
                               Key{KEY_END, kFar | 0x4F},
                               Key{KEY_DOWN, kFar | 0x50},
                               Key{KEY_PAGEDOWN, kFar | 0x51},
                               Key{KEY_INSERT, kFar | 0x52},
                               Key{KEY_DELETE, kFar | 0x53},
                               Key{KEY_MUTE, kFar | 0x20},
                               Key{KEY_VOLUMEDOWN, kFar | 0x2E},
                               Key{KEY_VOLUMEUP, kFar | 0x30},
                               Key{KEY_POWER, kFar | 0x5E},
                               Key{KEY_KPEQUAL, 0x59},
                               Key{KEY_KPCOMMA, 0x7E},
                               Key{KEY_HANGEUL, 0x72},
                               Key{KEY_HANJA, 0x71},
                               Key{KEY_YEN, 0x7D},
                               Key{KEY_LEFTMETA, kFar | 0x5B},
                               Key{KEY_RIGHTMETA, kFar | 0x5C},
                               Key{KEY_COMPOSE, kFar | 0x5D},
                               Key{KEY_STOP, kFar | 0x68},
                               Key{KEY_SLEEP, kFar | 0x5F},
                               Key{KEY_WAKEUP, kFar | 0x63},
                               Key{KEY_MAIL, kFar | 0x6C},
                               Key{KEY_BOOKMARKS, kFar | 0x66},
                               Key{KEY_COMPUTER, kFar | 0x6B},
                               Key{KEY_BACK, kFar | 0x6A},
                               Key{KEY_FORWARD, kFar | 0x69},
                               Key{KEY_NEXTSONG, kFar | 0x19},
                               Key{KEY_PLAYPAUSE, kFar | 0x22},
                               Key{KEY_PREVIOUSSONG, kFar | 0x10},
                               Key{KEY_STOPCD, kFar | 0x24},
                               Key{KEY_HOMEPAGE, kFar | 0x32},
                               Key{KEY_REFRESH, kFar | 0x67},
                               Key{KEY_SEARCH, kFar | 0x65}};

uint16_t set1_of(uint16_t code) {
  if (code > KEY_RESERVED && code <= KEY_F12) {
    return code;
  }
  for (const Key& key : kLater) {
    if (key.code == code) {
      return key.set1;
    }
  }
  return 0;
}

// One code of set 1, in the set that is asked for.
void add(Sequence& to, uint8_t set1, bool extended, bool down, uint8_t set) {
  if (extended) {
    to.add(kExtended);
  }
  if (set == 1) {
    to.add(static_cast<uint8_t>(set1 | (down ? 0 : 0x80)));
    return;
  }
  if (!down) {
    to.add(kBreak);
  }
  to.add(kToSet2[set1]);
}

}  // namespace

uint8_t to_set1(uint8_t set2) {
  if (set2 < kToSet1.size()) {
    return kToSet1[set2];
  }
  return set2 == kF7Set2 ? kF7Set1 : set2 == kSysRqSet2 ? kSysRqSet1 : set2;
}

Sequence scancodes(uint16_t code, bool down, uint8_t set) {
  Sequence sequence;
  if (code == KEY_PAUSE) {  // says that it goes down and up at once, and nothing when it goes up
    const std::array<uint8_t, 8> set2 = {kPause, 0x14, 0x77, kPause, kBreak, 0x14, kBreak, 0x77};
    const std::array<uint8_t, 6> set1 = {kPause, 0x1D, 0x45, kPause, 0x9D, 0xC5};
    for (std::size_t i = 0; down && i < (set == 1 ? set1.size() : set2.size()); ++i) {
      sequence.add(set == 1 ? set1[i] : set2[i]);
    }
  } else if (code == KEY_SYSRQ) {  // Print Screen comes with a shift key
    constexpr uint8_t kShift = 0x2A;
    constexpr uint8_t kPrint = 0x37;
    add(sequence, down ? kShift : kPrint, true, down, set);
    add(sequence, down ? kPrint : kShift, true, down, set);
  } else if (const uint16_t key = set1_of(code); key != 0) {
    add(sequence, key & 0x7F, (key & kFar) != 0, down, set);
  }
  return sequence;
}

}  // namespace lodge::ps2
