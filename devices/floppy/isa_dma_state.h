// The saved state of the two DMA controllers.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct IsaDmaChannelState {
  uint16_t base_address = 0;
  uint16_t base_count = 0;
  uint16_t address = 0;
  uint16_t count = 0;
  uint8_t mode = 0;
  uint8_t page = 0;
  friend bool operator==(const IsaDmaChannelState&, const IsaDmaChannelState&) = default;
};

struct IsaDmaState {
  std::vector<IsaDmaChannelState> channels = std::vector<IsaDmaChannelState>(8);
  std::array<uint8_t, 2> command{};
  std::array<uint8_t, 2> masked{0x0F, 0x0F};  // by channel
  std::array<uint8_t, 2> reached{};           // terminal counts, until they are read
  std::array<bool, 2> high_byte{};            // the flip-flop
  std::array<uint8_t, 16> pages{};            // page registers of no channel: memory
  friend bool operator==(const IsaDmaState&, const IsaDmaState&) = default;
};

template <>
struct Schema<IsaDmaChannelState> {
  using S = IsaDmaChannelState;
  static constexpr std::string_view name = "isa-dma-channel";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "base-address", &S::base_address),
                                            field(2, "base-count", &S::base_count),
                                            field(3, "address", &S::address),
                                            field(4, "count", &S::count),
                                            field(5, "mode", &S::mode),
                                            field(6, "page", &S::page)};
};

template <>
struct Schema<IsaDmaState> {
  using S = IsaDmaState;
  static constexpr std::string_view name = "isa-dma";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "channels", &S::channels), field(2, "command", &S::command),     field(3, "masked", &S::masked),
                 field(4, "reached", &S::reached),   field(5, "high-byte", &S::high_byte), field(6, "pages", &S::pages)};
};

}  // namespace lodge
