#include "vmm/vnc/keyboard.h"

#include <linux/input-event-codes.h>

#include <array>

namespace lodge::vnc {
namespace {

constexpr std::array<uint16_t, 2> kShifts{KEY_LEFTSHIFT, KEY_RIGHTSHIFT};

}  // namespace

bool Keyboard::shifted() const { return held_[KEY_LEFTSHIFT] || held_[KEY_RIGHTSHIFT]; }

void Keyboard::put(std::vector<Stroke>& out, uint16_t code, bool down) {
  if (!down && !held_[code]) {
    return;
  }
  if (code == KEY_CAPSLOCK && down && !held_[code]) {
    caps_lock_ = !caps_lock_;
  }
  held_[code] = down;
  out.push_back({code, down});
}

std::vector<Stroke> Keyboard::keysym(uint32_t keysym, bool down) {
  std::vector<Stroke> out;
  const auto key = key_of_keysym(keysym);
  if (!key) {
    return out;
  }
  if (!down || key->shift == Shift::any) {
    put(out, key->code, down);
    return out;
  }
  const bool capitals = key->letter && caps_lock_;
  const bool wanted = (key->shift == Shift::down) != capitals;
  if (wanted == shifted()) {
    put(out, key->code, true);
  } else if (wanted) {
    out.push_back({KEY_LEFTSHIFT, true});
    put(out, key->code, true);
    out.push_back({KEY_LEFTSHIFT, false});
  } else {
    for (const uint16_t shift : kShifts) {
      if (held_[shift]) {
        out.push_back({shift, false});
      }
    }
    put(out, key->code, true);
    for (const uint16_t shift : kShifts) {
      if (held_[shift]) {
        out.push_back({shift, true});
      }
    }
  }
  return out;
}

std::vector<Stroke> Keyboard::scancode(uint32_t scancode, uint32_t keysym, bool down) {
  if (scancode == 0) {
    return this->keysym(keysym, down);
  }
  std::vector<Stroke> out;
  if (const uint16_t code = key_of_scancode(scancode); code != 0) {
    put(out, code, down);
  }
  return out;
}

}  // namespace lodge::vnc
