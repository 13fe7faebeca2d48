// The saved state of the xHCI controller: its registers, where it is in each ring, and events that found no room.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"
#include "devices/usb/xhci/registers.h"

namespace lodge {

// Where a ring is read.
struct XhciRingState {
  uint64_t at = 0;
  bool cycle = false;
  friend bool operator==(const XhciRingState&, const XhciRingState&) = default;
};

struct XhciEndpointState {
  uint8_t id = 0;  // the index of its context, 1 to 31
  xhci::EndpointPhase phase = xhci::EndpointPhase::disabled;
  std::array<uint32_t, 5> context{};  // as it was configured
  XhciRingState ring = {};
  bool armed = false;     // its doorbell was rung, and the ring's end was not seen since
  uint32_t offset = 0;    // bytes of the block at `ring` that were moved
  uint32_t moved = 0;     // bytes of the transfer since its beginning or the last event data block
  bool skipping = false;  // the transfer has ended short, and what is left of its blocks is passed over
  bool reported = false;  // the short end, in an event
  friend bool operator==(const XhciEndpointState&, const XhciEndpointState&) = default;
};

struct XhciSlotState {
  uint8_t id = 0;
  xhci::SlotPhase phase = xhci::SlotPhase::disabled;
  uint8_t port = 0;       // from 1; 0: not known yet
  uint64_t contexts = 0;  // guest memory that shows the guest what is here
  std::array<uint32_t, 3> context{};
  std::vector<XhciEndpointState> endpoints = {};
  bool detached = false;  // its device has gone; since version 2
  friend bool operator==(const XhciSlotState&, const XhciSlotState&) = default;
};

struct XhciPortState {
  uint32_t link = 0;
  bool enabled = false;
  bool resetting = false;
  bool warm = false;     // the reset
  uint32_t changes = 0;  // as in the register, as the next
  uint32_t wakes = 0;
  friend bool operator==(const XhciPortState&, const XhciPortState&) = default;
};

struct XhciEventState {
  uint64_t parameter = 0;
  uint32_t status = 0;
  uint32_t control = 0;
  friend bool operator==(const XhciEventState&, const XhciEventState&) = default;
};

struct XhciState {
  uint32_t command = 0;
  uint32_t status = 1;  // halted
  uint32_t notifications = 0;
  uint64_t contexts = 0;
  uint32_t config = 0;
  XhciRingState commands;
  bool commands_run = false;
  bool command_armed = false;
  uint32_t iman = 0;
  uint32_t imod = 4000;  // which a reset leaves
  uint32_t segments = 0;
  uint64_t segment_table = 0;
  uint64_t dequeue = 0;  // of the event ring, without its flags
  bool busy = false;
  uint32_t segment = 0;  // of the event ring that is written
  uint64_t segment_base = 0;
  uint32_t segment_size = 0;  // 0: not looked up yet
  uint32_t segment_at = 0;
  bool event_cycle = true;
  std::vector<XhciEventState> events;  // that wait for room
  std::vector<XhciPortState> ports;    // USB 2.0's, then USB 3.0's
  std::vector<XhciSlotState> slots;
  friend bool operator==(const XhciState&, const XhciState&) = default;
};

template <>
struct Schema<XhciRingState> {
  using S = XhciRingState;
  static constexpr std::string_view name = "xhci-ring";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "at", &S::at), field(2, "cycle", &S::cycle)};
};

template <>
struct Schema<XhciEndpointState> {
  using S = XhciEndpointState;
  static constexpr std::string_view name = "xhci-endpoint";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "id", &S::id),       field(2, "phase", &S::phase),       field(3, "context", &S::context),
                 field(4, "ring", &S::ring),   field(5, "armed", &S::armed),       field(6, "offset", &S::offset),
                 field(7, "moved", &S::moved), field(8, "skipping", &S::skipping), field(9, "reported", &S::reported)};
};

template <>
struct Schema<XhciSlotState> {
  using S = XhciSlotState;
  static constexpr std::string_view name = "xhci-slot";
  static constexpr uint16_t version = 2;
  static constexpr auto fields = std::tuple{field(1, "id", &S::id),
                                            field(2, "phase", &S::phase),
                                            field(3, "port", &S::port),
                                            field(4, "contexts", &S::contexts),
                                            field(5, "context", &S::context),
                                            field(6, "endpoints", &S::endpoints),
                                            field(7, "detached", &S::detached)};
};

template <>
struct Schema<XhciPortState> {
  using S = XhciPortState;
  static constexpr std::string_view name = "xhci-port";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "link", &S::link), field(2, "enabled", &S::enabled), field(3, "resetting", &S::resetting),
                 field(4, "warm", &S::warm), field(5, "changes", &S::changes), field(6, "wakes", &S::wakes)};
};

template <>
struct Schema<XhciEventState> {
  using S = XhciEventState;
  static constexpr std::string_view name = "xhci-event";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "parameter", &S::parameter), field(2, "status", &S::status), field(3, "control", &S::control)};
};

template <>
struct Schema<XhciState> {
  using S = XhciState;
  static constexpr std::string_view name = "xhci";
  static constexpr uint16_t version = 2;
  static constexpr auto fields = std::tuple{field(1, "command", &S::command),
                                            field(2, "status", &S::status),
                                            field(3, "notifications", &S::notifications),
                                            field(4, "contexts", &S::contexts),
                                            field(5, "config", &S::config),
                                            field(6, "commands", &S::commands),
                                            field(7, "commands-run", &S::commands_run),
                                            field(8, "command-armed", &S::command_armed),
                                            field(9, "iman", &S::iman),
                                            field(10, "imod", &S::imod),
                                            field(11, "segments", &S::segments),
                                            field(12, "segment-table", &S::segment_table),
                                            field(13, "dequeue", &S::dequeue),
                                            field(14, "busy", &S::busy),
                                            field(15, "segment", &S::segment),
                                            field(16, "segment-base", &S::segment_base),
                                            field(17, "segment-size", &S::segment_size),
                                            field(18, "segment-at", &S::segment_at),
                                            field(19, "event-cycle", &S::event_cycle),
                                            field(20, "events", &S::events),
                                            field(21, "ports", &S::ports),
                                            field(22, "slots", &S::slots)};
};

}  // namespace lodge
