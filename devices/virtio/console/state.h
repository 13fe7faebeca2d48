// The saved state of a virtio console.
#pragma once

#include <cstdint>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct ConsolePortState {
  bool ready = false;      // the driver knows the port
  bool open = false;       // some process of the guest has it open
  bool host_open = false;  // what the driver was told of our side
  uint32_t sent = 0;       // bytes of the first unfinished output request that are out already
  friend bool operator==(const ConsolePortState&, const ConsolePortState&) = default;
};

struct ConsoleMessageState {
  uint32_t port = 0;
  uint16_t event = 0;
  uint16_t value = 0;
  friend bool operator==(const ConsoleMessageState&, const ConsoleMessageState&) = default;
};

struct ConsoleState {
  bool ready = false;
  uint16_t columns = 0;
  uint16_t rows = 0;
  std::vector<ConsolePortState> ports;
  std::vector<ConsoleMessageState> messages;  // wait for buffers of the driver
};

template <>
struct Schema<ConsolePortState> {
  static constexpr std::string_view name = "virtio-console-port";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "ready", &ConsolePortState::ready), field(2, "open", &ConsolePortState::open),
                 field(3, "host-open", &ConsolePortState::host_open), field(4, "sent", &ConsolePortState::sent)};
};

template <>
struct Schema<ConsoleMessageState> {
  static constexpr std::string_view name = "virtio-console-message";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "port", &ConsoleMessageState::port), field(2, "event", &ConsoleMessageState::event),
                 field(3, "value", &ConsoleMessageState::value)};
};

template <>
struct Schema<ConsoleState> {
  static constexpr std::string_view name = "virtio-console";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "ready", &ConsoleState::ready), field(2, "columns", &ConsoleState::columns),
                 field(3, "rows", &ConsoleState::rows), field(4, "ports", &ConsoleState::ports),
                 field(5, "messages", &ConsoleState::messages)};
};

}  // namespace lodge
