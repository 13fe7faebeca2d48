// The saved state of a UHCI controller. The schedule is in guest memory; here is what is between two packets.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"
#include "devices/usb/uhci/registers.h"

namespace lodge {

enum class UhciControlPhase : uint8_t {
  idle,
  data_in,   // to the host; the device is asked with the first packet
  data_out,  // from it; the device is told with the status packet
};

// A control transfer, of which the host sees packets and the device only the whole.
struct UhciControlState {
  UhciControlPhase phase = UhciControlPhase::idle;
  std::array<uint8_t, 8> setup{};
  bool asked = false;
  uint32_t at = 0;
  std::vector<uint8_t> data;
  friend bool operator==(const UhciControlState&, const UhciControlState&) = default;
};

struct UhciPortState {
  bool enabled = false;
  bool connect_change = false;
  bool enable_change = false;
  bool resume = false;
  bool reset = false;      // the host holds it in reset
  bool reset_due = false;  // which the device is not told yet
  bool suspended = false;
  UhciControlState control;
  uint8_t part_endpoint = 0;  // whose packet is on its way in parts, with 0x80 if the device sends it; 0: none
  std::vector<uint8_t> part;  // what was had of it, or (as many bytes) taken
  friend bool operator==(const UhciPortState&, const UhciPortState&) = default;
};

struct UhciState {
  uint16_t command = 0;
  uint16_t status = uhci::kStsHalted;
  uint16_t interrupts = 0;
  uint16_t frame = 0;
  uint32_t list = 0;
  uint8_t sof = uhci::kSofDefault;
  bool completed = false;  // why the status says interrupt, as the next
  bool was_short = false;
  std::vector<UhciPortState> ports;
  friend bool operator==(const UhciState&, const UhciState&) = default;
};

template <>
struct Schema<UhciControlState> {
  using S = UhciControlState;
  static constexpr std::string_view name = "uhci-control";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "phase", &S::phase), field(2, "setup", &S::setup), field(3, "asked", &S::asked),
                 field(4, "at", &S::at), field(5, "data", &S::data)};
};

template <>
struct Schema<UhciPortState> {
  using S = UhciPortState;
  static constexpr std::string_view name = "uhci-port";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "enabled", &S::enabled),
                                            field(2, "connect-change", &S::connect_change),
                                            field(3, "enable-change", &S::enable_change),
                                            field(4, "resume", &S::resume),
                                            field(5, "reset", &S::reset),
                                            field(6, "reset-due", &S::reset_due),
                                            field(7, "suspended", &S::suspended),
                                            field(8, "control", &S::control),
                                            field(9, "part-endpoint", &S::part_endpoint),
                                            field(10, "part", &S::part)};
};

template <>
struct Schema<UhciState> {
  using S = UhciState;
  static constexpr std::string_view name = "uhci";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{
      field(1, "command", &S::command),     field(2, "status", &S::status),       field(3, "interrupts", &S::interrupts),
      field(4, "frame", &S::frame),         field(5, "list", &S::list),           field(6, "sof", &S::sof),
      field(7, "completed", &S::completed), field(8, "was-short", &S::was_short), field(9, "ports", &S::ports)};
};

}  // namespace lodge
