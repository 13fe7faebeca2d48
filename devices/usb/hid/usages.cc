// HID's numbers of keys (HID Usage Tables 1.12, chapter 10) by Linux's.
#include <linux/input-event-codes.h>

#include <array>

#include "devices/usb/hid/keyboard.h"

namespace lodge {
namespace {

// From usage 4 on.
constexpr auto kFromFour = std::to_array<uint16_t>({
    KEY_A,       KEY_B,         KEY_C,          KEY_D,         KEY_E,          KEY_F,         KEY_G,
    KEY_H,       KEY_I,         KEY_J,          KEY_K,         KEY_L,          KEY_M,         KEY_N,
    KEY_O,       KEY_P,         KEY_Q,          KEY_R,         KEY_S,          KEY_T,         KEY_U,
    KEY_V,       KEY_W,         KEY_X,          KEY_Y,         KEY_Z,          KEY_1,         KEY_2,
    KEY_3,       KEY_4,         KEY_5,          KEY_6,         KEY_7,          KEY_8,         KEY_9,
    KEY_0,       KEY_ENTER,     KEY_ESC,        KEY_BACKSPACE, KEY_TAB,        KEY_SPACE,     KEY_MINUS,
    KEY_EQUAL,   KEY_LEFTBRACE, KEY_RIGHTBRACE, KEY_BACKSLASH, KEY_RESERVED,   KEY_SEMICOLON, KEY_APOSTROPHE,
    KEY_GRAVE,   KEY_COMMA,     KEY_DOT,        KEY_SLASH,     KEY_CAPSLOCK,   KEY_F1,        KEY_F2,
    KEY_F3,      KEY_F4,        KEY_F5,         KEY_F6,        KEY_F7,         KEY_F8,        KEY_F9,
    KEY_F10,     KEY_F11,       KEY_F12,        KEY_SYSRQ,     KEY_SCROLLLOCK, KEY_PAUSE,     KEY_INSERT,
    KEY_HOME,    KEY_PAGEUP,    KEY_DELETE,     KEY_END,       KEY_PAGEDOWN,   KEY_RIGHT,     KEY_LEFT,
    KEY_DOWN,    KEY_UP,        KEY_NUMLOCK,    KEY_KPSLASH,   KEY_KPASTERISK, KEY_KPMINUS,   KEY_KPPLUS,
    KEY_KPENTER, KEY_KP1,       KEY_KP2,        KEY_KP3,       KEY_KP4,        KEY_KP5,       KEY_KP6,
    KEY_KP7,     KEY_KP8,       KEY_KP9,        KEY_KP0,       KEY_KPDOT,      KEY_102ND,     KEY_COMPOSE,
    KEY_POWER,   KEY_KPEQUAL,   KEY_F13,        KEY_F14,       KEY_F15,        KEY_F16,       KEY_F17,
    KEY_F18,     KEY_F19,       KEY_F20,        KEY_F21,       KEY_F22,        KEY_F23,       KEY_F24,
    KEY_OPEN,    KEY_HELP,      KEY_PROPS,      KEY_FRONT,     KEY_STOP,       KEY_AGAIN,     KEY_UNDO,
    KEY_CUT,     KEY_COPY,      KEY_PASTE,      KEY_FIND,      KEY_MUTE,       KEY_VOLUMEUP,  KEY_VOLUMEDOWN,
});
constexpr uint8_t kFirst = 4;

struct Key {
  uint16_t code;
  uint8_t usage;
};
constexpr std::array kLater = {
    Key{KEY_KPCOMMA, 0x85},   Key{KEY_RO, 0x87},         Key{KEY_KATAKANAHIRAGANA, 0x88}, Key{KEY_YEN, 0x89},
    Key{KEY_HENKAN, 0x8A},    Key{KEY_MUHENKAN, 0x8B},   Key{KEY_KPJPCOMMA, 0x8C},        Key{KEY_HANGEUL, 0x90},
    Key{KEY_HANJA, 0x91},     Key{KEY_KATAKANA, 0x92},   Key{KEY_HIRAGANA, 0x93},         Key{KEY_ZENKAKUHANKAKU, 0x94},
    Key{KEY_LEFTCTRL, 0xE0},  Key{KEY_LEFTSHIFT, 0xE1},  Key{KEY_LEFTALT, 0xE2},          Key{KEY_LEFTMETA, 0xE3},
    Key{KEY_RIGHTCTRL, 0xE4}, Key{KEY_RIGHTSHIFT, 0xE5}, Key{KEY_RIGHTALT, 0xE6},         Key{KEY_RIGHTMETA, 0xE7}};

constexpr auto kUsages = [] {
  std::array<uint8_t, 256> table{};
  for (size_t i = 0; i < kFromFour.size(); ++i) {
    table.at(kFromFour.at(i)) = static_cast<uint8_t>(kFirst + i);
  }
  for (const Key& key : kLater) {
    table.at(key.code) = key.usage;
  }
  table[KEY_RESERVED] = 0;
  return table;
}();

}  // namespace

uint8_t hid_usage(uint16_t code) { return code < kUsages.size() ? kUsages.at(code) : uint8_t{0}; }

}  // namespace lodge
