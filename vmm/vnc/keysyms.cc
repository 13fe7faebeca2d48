#include "vmm/vnc/keysyms.h"

#include <linux/input-event-codes.h>
#include <rfb/keysym.h>

#include <algorithm>
#include <array>

#include "devices/input/ps2/scancodes.h"

namespace lodge::vnc {
namespace {

struct Printed {
  uint16_t code;
  char plain;
  char shifted;
};
// Letters have their small form in `plain`.
constexpr std::array kPrinted{
    Printed{KEY_GRAVE, '`', '~'},      Printed{KEY_1, '1', '!'},         Printed{KEY_2, '2', '@'},
    Printed{KEY_3, '3', '#'},          Printed{KEY_4, '4', '$'},         Printed{KEY_5, '5', '%'},
    Printed{KEY_6, '6', '^'},          Printed{KEY_7, '7', '&'},         Printed{KEY_8, '8', '*'},
    Printed{KEY_9, '9', '('},          Printed{KEY_0, '0', ')'},         Printed{KEY_MINUS, '-', '_'},
    Printed{KEY_EQUAL, '=', '+'},      Printed{KEY_LEFTBRACE, '[', '{'}, Printed{KEY_RIGHTBRACE, ']', '}'},
    Printed{KEY_BACKSLASH, '\\', '|'}, Printed{KEY_SEMICOLON, ';', ':'}, Printed{KEY_APOSTROPHE, '\'', '"'},
    Printed{KEY_COMMA, ',', '<'},      Printed{KEY_DOT, '.', '>'},       Printed{KEY_SLASH, '/', '?'},
    Printed{KEY_Q, 'q', 'Q'},          Printed{KEY_W, 'w', 'W'},         Printed{KEY_E, 'e', 'E'},
    Printed{KEY_R, 'r', 'R'},          Printed{KEY_T, 't', 'T'},         Printed{KEY_Y, 'y', 'Y'},
    Printed{KEY_U, 'u', 'U'},          Printed{KEY_I, 'i', 'I'},         Printed{KEY_O, 'o', 'O'},
    Printed{KEY_P, 'p', 'P'},          Printed{KEY_A, 'a', 'A'},         Printed{KEY_S, 's', 'S'},
    Printed{KEY_D, 'd', 'D'},          Printed{KEY_F, 'f', 'F'},         Printed{KEY_G, 'g', 'G'},
    Printed{KEY_H, 'h', 'H'},          Printed{KEY_J, 'j', 'J'},         Printed{KEY_K, 'k', 'K'},
    Printed{KEY_L, 'l', 'L'},          Printed{KEY_Z, 'z', 'Z'},         Printed{KEY_X, 'x', 'X'},
    Printed{KEY_C, 'c', 'C'},          Printed{KEY_V, 'v', 'V'},         Printed{KEY_B, 'b', 'B'},
    Printed{KEY_N, 'n', 'N'},          Printed{KEY_M, 'm', 'M'}};

struct Named {
  uint32_t keysym;
  uint16_t code;
};
constexpr std::array kNamed{Named{XK_space, KEY_SPACE},
                            Named{XK_BackSpace, KEY_BACKSPACE},
                            Named{XK_Tab, KEY_TAB},
                            Named{XK_ISO_Left_Tab, KEY_TAB},
                            Named{XK_Return, KEY_ENTER},
                            Named{XK_Pause, KEY_PAUSE},
                            Named{XK_Break, KEY_PAUSE},
                            Named{XK_Scroll_Lock, KEY_SCROLLLOCK},
                            Named{XK_Sys_Req, KEY_SYSRQ},
                            Named{XK_Print, KEY_SYSRQ},
                            Named{XK_Escape, KEY_ESC},
                            Named{XK_Multi_key, KEY_COMPOSE},
                            Named{XK_Menu, KEY_COMPOSE},
                            Named{XK_Home, KEY_HOME},
                            Named{XK_Left, KEY_LEFT},
                            Named{XK_Up, KEY_UP},
                            Named{XK_Right, KEY_RIGHT},
                            Named{XK_Down, KEY_DOWN},
                            Named{XK_Page_Up, KEY_PAGEUP},
                            Named{XK_Page_Down, KEY_PAGEDOWN},
                            Named{XK_End, KEY_END},
                            Named{XK_Insert, KEY_INSERT},
                            Named{XK_Delete, KEY_DELETE},
                            Named{XK_Num_Lock, KEY_NUMLOCK},
                            Named{XK_KP_Enter, KEY_KPENTER},
                            Named{XK_KP_Home, KEY_KP7},
                            Named{XK_KP_Up, KEY_KP8},
                            Named{XK_KP_Page_Up, KEY_KP9},
                            Named{XK_KP_Left, KEY_KP4},
                            Named{XK_KP_Begin, KEY_KP5},
                            Named{XK_KP_Right, KEY_KP6},
                            Named{XK_KP_End, KEY_KP1},
                            Named{XK_KP_Down, KEY_KP2},
                            Named{XK_KP_Page_Down, KEY_KP3},
                            Named{XK_KP_Insert, KEY_KP0},
                            Named{XK_KP_Delete, KEY_KPDOT},
                            Named{XK_KP_7, KEY_KP7},
                            Named{XK_KP_8, KEY_KP8},
                            Named{XK_KP_9, KEY_KP9},
                            Named{XK_KP_4, KEY_KP4},
                            Named{XK_KP_5, KEY_KP5},
                            Named{XK_KP_6, KEY_KP6},
                            Named{XK_KP_1, KEY_KP1},
                            Named{XK_KP_2, KEY_KP2},
                            Named{XK_KP_3, KEY_KP3},
                            Named{XK_KP_0, KEY_KP0},
                            Named{XK_KP_Decimal, KEY_KPDOT},
                            Named{XK_KP_Separator, KEY_KPCOMMA},
                            Named{XK_KP_Equal, KEY_KPEQUAL},
                            Named{XK_KP_Multiply, KEY_KPASTERISK},
                            Named{XK_KP_Add, KEY_KPPLUS},
                            Named{XK_KP_Subtract, KEY_KPMINUS},
                            Named{XK_KP_Divide, KEY_KPSLASH},
                            Named{XK_F11, KEY_F11},
                            Named{XK_F12, KEY_F12},
                            Named{XK_Shift_L, KEY_LEFTSHIFT},
                            Named{XK_Shift_R, KEY_RIGHTSHIFT},
                            Named{XK_Control_L, KEY_LEFTCTRL},
                            Named{XK_Control_R, KEY_RIGHTCTRL},
                            Named{XK_Caps_Lock, KEY_CAPSLOCK},
                            Named{XK_Alt_L, KEY_LEFTALT},
                            Named{XK_Meta_L, KEY_LEFTALT},
                            Named{XK_Alt_R, KEY_RIGHTALT},
                            Named{XK_Meta_R, KEY_RIGHTALT},
                            Named{XK_Mode_switch, KEY_RIGHTALT},
                            Named{XK_ISO_Level3_Shift, KEY_RIGHTALT},
                            Named{XK_Super_L, KEY_LEFTMETA},
                            Named{XK_Super_R, KEY_RIGHTMETA},
                            Named{XK_Hyper_L, KEY_LEFTMETA},
                            Named{XK_Hyper_R, KEY_RIGHTMETA}};

struct Dead {
  uint32_t keysym;
  char means;
};
constexpr std::array kDead{Dead{XK_dead_grave, '`'}, Dead{XK_dead_acute, '\''}, Dead{XK_dead_circumflex, '^'},
                           Dead{XK_dead_tilde, '~'}, Dead{XK_dead_diaeresis, '"'}};

constexpr uint32_t kUnicode = 0x0100'0000;  // keysyms of characters that have no older one
constexpr uint32_t kFar = 0x80;             // behind E0

// The inverse of what a keyboard sends; keys with long sequences have numbers of their own.
constexpr uint32_t kPrintScancode = kFar | 0x37;
constexpr uint32_t kPauseScancode = kFar | 0x46;
std::array<uint16_t, 256> make_scancodes() {
  std::array<uint16_t, 256> table{};
  for (uint16_t code = 1; code <= KEY_MICMUTE; ++code) {
    const ps2::Sequence sequence = ps2::scancodes(code, true, 1);
    if (sequence.size == 1) {
      table[sequence.bytes[0]] = code;
    } else if (sequence.size == 2) {
      table[kFar | sequence.bytes[1]] = code;
    }
  }
  table[kPrintScancode] = KEY_SYSRQ;
  table[kPauseScancode] = KEY_PAUSE;
  return table;
}

}  // namespace

std::optional<KeyOfSym> key_of_keysym(uint32_t keysym) {
  if ((keysym & 0xFF00'0000U) == kUnicode) {
    keysym -= kUnicode;
  }
  if (const auto* it = std::ranges::find(kDead, keysym, &Dead::keysym); it != kDead.end()) {
    keysym = static_cast<uint8_t>(it->means);
  }
  if (keysym >= XK_F1 && keysym <= XK_F10) {
    return KeyOfSym{static_cast<uint16_t>(KEY_F1 + (keysym - XK_F1))};
  }
  if (const auto* it = std::ranges::find(kNamed, keysym, &Named::keysym); it != kNamed.end()) {
    return KeyOfSym{it->code};
  }
  for (const Printed& key : kPrinted) {
    const bool letter = key.plain >= 'a' && key.plain <= 'z';
    if (keysym == static_cast<uint8_t>(key.plain)) {
      return KeyOfSym{key.code, Shift::up, letter};
    }
    if (keysym == static_cast<uint8_t>(key.shifted)) {
      return KeyOfSym{key.code, Shift::down, letter};
    }
  }
  return std::nullopt;
}

uint16_t key_of_scancode(uint32_t scancode) {
  static const std::array<uint16_t, 256> table = make_scancodes();
  return scancode < table.size() ? table[scancode] : uint16_t{0};
}

}  // namespace lodge::vnc
