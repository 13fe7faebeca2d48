#include "vmm/vnc/keyboard.h"

#include <linux/input-event-codes.h>
#include <rfb/keysym.h>
#include <catch2/catch.hpp>
#include <string>

namespace lodge::vnc {
namespace {

std::string text(const std::vector<Stroke>& strokes) {
  std::string out;
  for (const Stroke& stroke : strokes) {
    out += fmt::format("{}{}{}", out.empty() ? "" : " ", stroke.down ? '+' : '-', stroke.code);
  }
  return out;
}

TEST_CASE("Keysyms are the keys of an English keyboard") {
  CHECK(key_of_keysym('a')->code == KEY_A);
  CHECK(key_of_keysym('Z')->code == KEY_Z);
  CHECK(key_of_keysym('Z')->shift == Shift::down);
  CHECK(key_of_keysym('7')->shift == Shift::up);
  CHECK(key_of_keysym('&')->code == KEY_7);
  CHECK(key_of_keysym(XK_F1)->code == KEY_F1);
  CHECK(key_of_keysym(XK_F10)->code == KEY_F10);
  CHECK(key_of_keysym(XK_F11)->code == KEY_F11);
  CHECK(key_of_keysym(XK_KP_7)->code == KEY_KP7);
  CHECK(key_of_keysym(XK_ISO_Level3_Shift)->code == KEY_RIGHTALT);
  CHECK(key_of_keysym(XK_dead_tilde)->code == KEY_GRAVE);
  CHECK(key_of_keysym(0x0100'0040)->code == KEY_2);  // Unicode's @
  for (const uint32_t none : {0U, 0xE4U, 0xFFFFFFU, 0xFFFFFFFFU, 0x0100'20ACU}) {
    CHECK(!key_of_keysym(none));
  }
  for (uint32_t printed = ' '; printed <= '~'; ++printed) {
    CHECK(key_of_keysym(printed));
  }
}

TEST_CASE("Scan codes are what keyboards send") {
  CHECK(key_of_scancode(1) == KEY_ESC);
  CHECK(key_of_scancode(0x1E) == KEY_A);
  CHECK(key_of_scancode(0x58) == KEY_F12);
  CHECK(key_of_scancode(0x9D) == KEY_RIGHTCTRL);
  CHECK(key_of_scancode(0xC8) == KEY_UP);
  CHECK(key_of_scancode(0xDB) == KEY_LEFTMETA);
  CHECK(key_of_scancode(0xB7) == KEY_SYSRQ);
  CHECK(key_of_scancode(0xC6) == KEY_PAUSE);
  CHECK(key_of_scancode(0xB8) == KEY_RIGHTALT);
  CHECK(key_of_scancode(0) == 0);
  CHECK(key_of_scancode(0x100) == 0);
  CHECK(key_of_scancode(UINT32_MAX) == 0);
}

TEST_CASE("A character brings Shift with it when nobody holds it") {
  Keyboard keyboard;
  CHECK(text(keyboard.keysym('a', true)) == "+30");
  CHECK(text(keyboard.keysym('a', false)) == "-30");
  CHECK(text(keyboard.keysym('A', true)) == "+42 +30 -42");
  CHECK(text(keyboard.keysym('A', false)) == "-30");
  CHECK(text(keyboard.keysym('!', true)) == "+42 +2 -42");
}

TEST_CASE("Shift that is held serves the character, or is lifted for it") {
  Keyboard keyboard;
  CHECK(text(keyboard.keysym(XK_Shift_R, true)) == "+54");
  CHECK(text(keyboard.keysym('A', true)) == "+30");
  CHECK(text(keyboard.keysym('A', false)) == "-30");
  CHECK(text(keyboard.keysym('/', true)) == "-54 +53 +54");  // Shift and 7 on a German keyboard
  CHECK(text(keyboard.keysym('/', false)) == "-53");
  CHECK(text(keyboard.keysym(XK_Return, true)) == "+28");
  CHECK(text(keyboard.keysym(XK_Shift_R, false)) == "-54");
}

TEST_CASE("Caps Lock has its say for letters only") {
  Keyboard keyboard;
  CHECK(text(keyboard.keysym(XK_Caps_Lock, true)) == "+58");
  CHECK(text(keyboard.keysym(XK_Caps_Lock, false)) == "-58");
  CHECK(text(keyboard.keysym('A', true)) == "+30");
  CHECK(text(keyboard.keysym('a', true)) == "+42 +30 -42");
  CHECK(text(keyboard.keysym('1', true)) == "+2");
  CHECK(text(keyboard.keysym('!', true)) == "+42 +2 -42");
}

TEST_CASE("Keys that are not down are not let up, and what is no key is nothing") {
  Keyboard keyboard;
  CHECK(text(keyboard.keysym('a', false)).empty());
  CHECK(text(keyboard.keysym(0x20AC, true)).empty());
  CHECK(text(keyboard.scancode(0x1E, 0, true)) == "+30");
  CHECK(text(keyboard.scancode(0x7F, 'x', true)).empty());
  CHECK(text(keyboard.scancode(0, 'x', true)) == "+45");  // a client without scan codes
  CHECK(text(keyboard.keysym('A', false)) == "-30");
}

}  // namespace
}  // namespace lodge::vnc
