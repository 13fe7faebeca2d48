// The saved state of USB keyboards, mice and tablets.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "devices/input/pointer_queue.h"

namespace lodge {

struct UsbHidState {
  bool report_protocol = true;  // else the boot protocol
  uint8_t idle = 0;             // in 4 ms; 0: a report only when something has changed
  friend bool operator==(const UsbHidState&, const UsbHidState&) = default;
};

struct UsbKeyboardState {
  uint8_t leds = 0;
  uint8_t modifiers = 0;
  std::vector<uint8_t> keys;      // that are down, as the host was told, in order
  std::vector<uint16_t> waiting;  // it will be told: the usage, and bit 8 when it goes down
  friend bool operator==(const UsbKeyboardState&, const UsbKeyboardState&) = default;
};

struct UsbPointerState {
  PointerEvent last;  // the host was told
  std::vector<PointerEvent> waiting;
  friend bool operator==(const UsbPointerState&, const UsbPointerState&) = default;
};

template <>
struct Schema<UsbHidState> {
  using S = UsbHidState;
  static constexpr std::string_view name = "usb-hid";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "report-protocol", &S::report_protocol), field(2, "idle", &S::idle)};
};

template <>
struct Schema<UsbKeyboardState> {
  using S = UsbKeyboardState;
  static constexpr std::string_view name = "usb-keyboard";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "leds", &S::leds), field(2, "modifiers", &S::modifiers),
                                            field(3, "keys", &S::keys), field(4, "waiting", &S::waiting)};
};

template <>
struct Schema<UsbPointerState> {
  using S = UsbPointerState;
  static constexpr std::string_view name = "usb-pointer";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "last", &S::last), field(2, "waiting", &S::waiting)};
};

}  // namespace lodge
