// Keyboard: what one client types, as keys that go down and up in the guest. Pure.
//
// Clients that tell scan codes are followed as they are. Of others only the characters are known: what is in their way,
// Shift held or not, is let up or pressed around the key.
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "vmm/display/channel.h"
#include "vmm/vnc/keysyms.h"

namespace lodge::vnc {

struct Stroke {
  uint16_t code = 0;
  bool down = false;
  friend bool operator==(const Stroke&, const Stroke&) = default;
};

class Keyboard {
 public:
  [[nodiscard]] std::vector<Stroke> keysym(uint32_t keysym, bool down);
  // `keysym` is for those that know no scan code (0).
  [[nodiscard]] std::vector<Stroke> scancode(uint32_t scancode, uint32_t keysym, bool down);

 private:
  void put(std::vector<Stroke>& out, uint16_t code, bool down);
  [[nodiscard]] bool shifted() const;

  std::bitset<display::kMaxKey + 1> held_;
  bool caps_lock_ = false;  // as far as this client has pressed it
};

}  // namespace lodge::vnc
