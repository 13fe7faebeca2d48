// The saved state of virtio keyboards, mice and tablets.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "devices/input/pointer_queue.h"

namespace lodge {

// As the guest gets it (virtio 1.2 section 5.8.6): Linux's numbers of type and code.
struct VirtioInputEvent {
  uint16_t type = 0;
  uint16_t code = 0;
  uint32_t value = 0;
  friend bool operator==(const VirtioInputEvent&, const VirtioInputEvent&) = default;
};
static_assert(sizeof(VirtioInputEvent) == 8);

struct VirtioInputState {
  uint8_t select = 0;  // what the configuration space shows
  uint8_t subsel = 0;
  uint8_t leds = 0;                       // bit by LED_*
  std::vector<VirtioInputEvent> telling;  // the rest of what is being told, for which there was no buffer
  friend bool operator==(const VirtioInputState&, const VirtioInputState&) = default;
};

struct VirtioKeyboardState {
  std::vector<uint16_t> keys;     // that are down once all that waits is told
  std::vector<uint16_t> waiting;  // codes, and bit 15 when one goes down
  friend bool operator==(const VirtioKeyboardState&, const VirtioKeyboardState&) = default;
};

struct VirtioPointerState {
  uint8_t buttons = 0;  // that are down, as the guest was told
  std::vector<PointerEvent> waiting;
  friend bool operator==(const VirtioPointerState&, const VirtioPointerState&) = default;
};

template <>
struct Schema<VirtioInputEvent> {
  using S = VirtioInputEvent;
  static constexpr std::string_view name = "virtio-input-event";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "type", &S::type), field(2, "code", &S::code), field(3, "value", &S::value)};
};

template <>
struct Schema<VirtioInputState> {
  using S = VirtioInputState;
  static constexpr std::string_view name = "virtio-input";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "select", &S::select), field(2, "subsel", &S::subsel),
                                            field(3, "leds", &S::leds), field(4, "telling", &S::telling)};
};

template <>
struct Schema<VirtioKeyboardState> {
  using S = VirtioKeyboardState;
  static constexpr std::string_view name = "virtio-keyboard";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "keys", &S::keys), field(2, "waiting", &S::waiting)};
};

template <>
struct Schema<VirtioPointerState> {
  using S = VirtioPointerState;
  static constexpr std::string_view name = "virtio-pointer";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "buttons", &S::buttons), field(2, "waiting", &S::waiting)};
};

}  // namespace lodge
