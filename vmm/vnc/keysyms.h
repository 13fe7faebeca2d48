// What keys people pressed: X11's keysyms on an English keyboard, and XT scan codes, as Linux's numbers. Pure.
#pragma once

#include <cstdint>
#include <optional>

namespace lodge::vnc {

enum class Shift : uint8_t { any, up, down };

struct KeyOfSym {
  uint16_t code = 0;         // KEY_*
  Shift shift = Shift::any;  // what makes the key mean this
  bool letter = false;       // Caps Lock has a say
};
// Nothing: an English keyboard has no such key.
[[nodiscard]] std::optional<KeyOfSym> key_of_keysym(uint32_t keysym);

// A scan code of set 1 as QEMU's extended key event has it: keys behind E0 have bit 7 set. 0: there is no such key.
[[nodiscard]] uint16_t key_of_scancode(uint32_t scancode);

}  // namespace lodge::vnc
