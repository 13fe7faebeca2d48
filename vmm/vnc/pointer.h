// PointerTranslator: one client's pointer events as what the guest's pointer takes: steps of a mouse, or a position. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "vmm/display/channel.h"

namespace lodge::vnc {

class PointerTranslator {
 public:
  // Steps are told from 0x7FFF on by clients that know the guest's pointer to be a mouse (QEMU's pointer motion change).
  static constexpr int32_t kNoStep = 0x7FFF;

  void set_absolute(bool absolute) { absolute_ = absolute; }
  [[nodiscard]] bool absolute() const { return absolute_; }
  // The client sends steps where there is a mouse.
  void set_client_steps(bool steps) { client_steps_ = steps; }
  // `mask`: RFB's buttons. `width` and `height`: of the picture. Nothing: there is nothing to tell. `spare`: moves with no
  // button pressed or let go may wait for the next one.
  using Event = std::variant<display::Move, display::Position>;
  [[nodiscard]] std::optional<Event> event(uint8_t mask, int32_t x, int32_t y, uint32_t width, uint32_t height,
                                           bool spare = false);

 private:
  struct Place {
    int32_t x = 0, y = 0;
  };
  bool absolute_ = false;
  bool client_steps_ = false;
  std::optional<Place> last_;  // that the guest was told
  Place pending_;              // steps that were spared
  uint8_t mask_ = 0;
};

}  // namespace lodge::vnc
