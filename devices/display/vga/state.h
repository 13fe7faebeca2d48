// What a VGA remembers besides its memory.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "base/state/record.h"
#include "devices/display/vga/registers.h"

namespace lodge {

struct VgaState {
  uint8_t misc = 0;
  uint8_t feature = 0;
  uint8_t sequencer_index = 0;
  std::array<uint8_t, 8> sequencer{};
  uint8_t graphics_index = 0;
  std::array<uint8_t, 16> graphics{};
  uint8_t crtc_index = 0;
  std::array<uint8_t, 32> crtc{};
  uint8_t attribute_index = 0;
  uint8_t attribute_data_next = 0;  // 3C0 takes index and data in turn
  std::array<uint8_t, 32> attribute{};
  uint32_t latch = 0;  // a byte for each plane
  uint8_t dac_mask = 0xFF;
  uint8_t dac_reading = 0;
  uint8_t dac_read_index = 0;
  uint8_t dac_write_index = 0;
  uint8_t dac_part = 0;  // 0 to 2: red, green, blue
  std::array<uint8_t, 3> dac_written{};
  std::array<uint8_t, 768> dac{};
  uint16_t vbe_index = 0;
  std::array<uint16_t, 11> vbe{vga::kVbeNewestId};
  friend bool operator==(const VgaState&, const VgaState&) = default;
};

template <>
struct Schema<VgaState> {
  static constexpr std::string_view name = "vga";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "misc", &VgaState::misc),
                                            field(2, "feature", &VgaState::feature),
                                            field(3, "sequencer-index", &VgaState::sequencer_index),
                                            field(4, "sequencer", &VgaState::sequencer),
                                            field(5, "graphics-index", &VgaState::graphics_index),
                                            field(6, "graphics", &VgaState::graphics),
                                            field(7, "crtc-index", &VgaState::crtc_index),
                                            field(8, "crtc", &VgaState::crtc),
                                            field(9, "attribute-index", &VgaState::attribute_index),
                                            field(10, "attribute-data-next", &VgaState::attribute_data_next),
                                            field(11, "attribute", &VgaState::attribute),
                                            field(12, "latch", &VgaState::latch),
                                            field(13, "dac-mask", &VgaState::dac_mask),
                                            field(14, "dac-reading", &VgaState::dac_reading),
                                            field(15, "dac-read-index", &VgaState::dac_read_index),
                                            field(16, "dac-write-index", &VgaState::dac_write_index),
                                            field(17, "dac-part", &VgaState::dac_part),
                                            field(18, "dac-written", &VgaState::dac_written),
                                            field(19, "dac", &VgaState::dac),
                                            field(20, "vbe-index", &VgaState::vbe_index),
                                            field(21, "vbe", &VgaState::vbe)};
};

}  // namespace lodge
