// The saved state of the e1000: its registers, and what its PHY and EEPROM are at. Descriptors in the rings are the guest's.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

// What a context descriptor said.
struct E1000Context {
  uint8_t ip_start = 0;
  uint8_t ip_at = 0;
  uint16_t ip_end = 0;
  uint8_t transport_start = 0;
  uint8_t transport_at = 0;
  uint16_t transport_end = 0;
  uint8_t command = 0;
  uint8_t header_length = 0;
  uint16_t segment = 0;
  uint32_t payload = 0;
  friend bool operator==(const E1000Context&, const E1000Context&) = default;
};

struct E1000State {
  std::vector<uint32_t> registers;
  std::array<uint16_t, 32> phy{};
  uint32_t eeprom_in = 0;  // bits that came, a one in front
  uint16_t eeprom_out = 0;
  uint8_t eeprom_left = 0;  // bits of it
  uint32_t port_address = 0;
  bool link_up = true;
  std::vector<E1000Context> contexts = std::vector<E1000Context>(2);  // for checksums, for segmentation
  friend bool operator==(const E1000State&, const E1000State&) = default;
};

template <>
struct Schema<E1000Context> {
  using S = E1000Context;
  static constexpr std::string_view name = "e1000-context";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "ip-start", &S::ip_start),
                                            field(2, "ip-at", &S::ip_at),
                                            field(3, "ip-end", &S::ip_end),
                                            field(4, "transport-start", &S::transport_start),
                                            field(5, "transport-at", &S::transport_at),
                                            field(6, "transport-end", &S::transport_end),
                                            field(7, "command", &S::command),
                                            field(8, "header-length", &S::header_length),
                                            field(9, "segment", &S::segment),
                                            field(10, "payload", &S::payload)};
};

template <>
struct Schema<E1000State> {
  using S = E1000State;
  static constexpr std::string_view name = "e1000";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "registers", &S::registers),     field(2, "phy", &S::phy),
                 field(3, "eeprom-in", &S::eeprom_in),     field(4, "eeprom-out", &S::eeprom_out),
                 field(5, "eeprom-left", &S::eeprom_left), field(6, "port-address", &S::port_address),
                 field(7, "link-up", &S::link_up),         field(8, "contexts", &S::contexts)};
};

}  // namespace lodge
