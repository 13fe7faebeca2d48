#include "devices/display/vga/core.h"

#include <algorithm>
#include <bit>

namespace lodge {

using namespace vga;

namespace {

constexpr uint32_t kEveryByte = 0x01010101;

// A byte in each plane: all ones where the bit of `planes` is set.
constexpr uint32_t spread(uint8_t planes) {
  uint32_t all = 0;
  for (unsigned plane = 0; plane < 4; ++plane) {
    all |= (planes >> plane & 1U) != 0 ? 0xFFU << (8 * plane) : 0;
  }
  return all;
}

}  // namespace

uint8_t VgaCore::port_read(uint16_t port) {
  switch (port) {
    case kAttributeIndex: return s_.attribute_data_next != 0 ? 0 : s_.attribute_index;
    case kAttributeRead: {
      const uint8_t index = s_.attribute_index & 0x1F;
      return index <= kColourSelect ? s_.attribute[index] : 0;
    }
    case kMiscWrite: return 0;  // input status 0: no interrupt, no monitor that answers
    case kEnable: return 1;
    case kSequencerIndex: return s_.sequencer_index;
    case kSequencerData: return s_.sequencer[s_.sequencer_index & 7];
    case kDacMask: return s_.dac_mask;
    case kDacReadIndex: return s_.dac_reading != 0 ? 3 : 0;
    case kDacWriteIndex: return s_.dac_write_index;
    case kDacData: return dac_read();
    case kFeatureRead: return s_.feature;
    case kMiscRead: return s_.misc;
    case kGraphicsIndex: return s_.graphics_index;
    case kGraphicsData: return s_.graphics[s_.graphics_index & 15];
    default: break;
  }
  if (!crtc_here(port)) {
    return 0xFF;
  }
  switch (port & 0x0FU) {
    case kCrtcIndex & 0x0FU: return s_.crtc_index;
    case kCrtcData & 0x0FU: return s_.crtc[s_.crtc_index & 31];
    case kStatus1 & 0x0FU:
      s_.attribute_data_next = 0;
      retrace_ = !retrace_;
      return retrace_ ? 0x09 : 0;  // vertical retrace and display disabled, or neither
    default: return 0xFF;
  }
}

void VgaCore::port_write(uint16_t port, uint8_t value) {
  switch (port) {
    case kAttributeIndex: attribute_write(value); return;
    case kMiscWrite: s_.misc = value & 0xEF; return;
    case kSequencerIndex: s_.sequencer_index = value & 7; return;
    case kSequencerData: s_.sequencer[s_.sequencer_index & 7] = value; return;
    case kDacMask: s_.dac_mask = value; return;
    case kDacReadIndex:
      s_.dac_read_index = value;
      s_.dac_part = 0;
      s_.dac_reading = 1;
      return;
    case kDacWriteIndex:
      s_.dac_write_index = value;
      s_.dac_part = 0;
      s_.dac_reading = 0;
      return;
    case kDacData: dac_write(value); return;
    case kGraphicsIndex: s_.graphics_index = value & 15; return;
    case kGraphicsData: s_.graphics[s_.graphics_index & 15] = value; return;
    default: break;
  }
  if (!crtc_here(port)) {
    return;
  }
  switch (port & 0x0FU) {
    case kCrtcIndex & 0x0FU: s_.crtc_index = value & 31; break;
    case kCrtcData & 0x0FU: crtc_write(value); break;
    case kStatus1 & 0x0FU: s_.feature = value & 0x10; break;
    default: break;
  }
}

void VgaCore::attribute_write(uint8_t value) {
  s_.attribute_data_next ^= 1;
  if (s_.attribute_data_next != 0) {
    s_.attribute_index = value & 0x3F;
    return;
  }
  const uint8_t index = s_.attribute_index & 0x1F;
  if (index < kAttributeMode) {
    s_.attribute[index] = value & 0x3F;
  } else if (index <= kColourSelect) {
    s_.attribute[index] = value;
  }
}

void VgaCore::crtc_write(uint8_t value) {
  const uint8_t index = s_.crtc_index & 31;
  if (index <= kOverflow && (s_.crtc[kVerticalRetraceEnd] & kProtect) != 0) {
    if (index == kOverflow) {  // but for the line compare's bit
      s_.crtc[index] = static_cast<uint8_t>((s_.crtc[index] & ~0x10U) | (value & 0x10U));
    }
    return;
  }
  s_.crtc[index] = value;
}

uint8_t VgaCore::dac_read() {
  const uint8_t value = s_.dac[size_t{s_.dac_read_index} * 3 + s_.dac_part % 3];
  if (++s_.dac_part >= 3) {
    s_.dac_part = 0;
    ++s_.dac_read_index;
  }
  return value;
}

void VgaCore::dac_write(uint8_t value) {
  s_.dac_written[s_.dac_part % 3] = value;
  if (++s_.dac_part >= 3) {  // only whole colours take effect
    s_.dac_part = 0;
    std::copy(s_.dac_written.begin(), s_.dac_written.end(), s_.dac.begin() + size_t{s_.dac_write_index} * 3);
    ++s_.dac_write_index;
  }
}

// Where in the planes an address of the window is; false: the window is elsewhere.
bool VgaCore::window(uint32_t& offset) const {
  struct Map {
    uint32_t start;
    uint32_t size;
  };
  static constexpr std::array<Map, 4> kMaps{{{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}}};
  const Map& map = kMaps[s_.graphics[kMiscellaneous] >> 2 & 3];
  if (offset < map.start || offset - map.start >= map.size) {
    return false;
  }
  offset -= map.start;
  if ((s_.vbe[kVbeEnable] & kVbeEnabled) != 0) {
    offset += uint32_t{s_.vbe[kVbeBank]} << 16;
  }
  return true;
}

uint8_t VgaCore::window_read(uint32_t offset) {
  if (!window(offset)) {
    return 0xFF;
  }
  if ((s_.sequencer[kMemoryMode] & kChain4) != 0) {
    return memory_.load(offset);
  }
  if ((s_.graphics[kMode] & kOddEven) != 0) {
    const uint32_t plane = (s_.graphics[kReadMap] & 2U) | (offset & 1U);
    return memory_.load((offset & ~1U) << 1 | plane);
  }
  s_.latch = memory_.load_planes(offset << 2);
  if ((s_.graphics[kMode] & kReadMode1) == 0) {
    return static_cast<uint8_t>(s_.latch >> (8 * (s_.graphics[kReadMap] & 3U)));
  }
  const uint32_t differs = (s_.latch ^ spread(s_.graphics[kColourCompare])) & spread(s_.graphics[kColourDontCare]);
  return static_cast<uint8_t>(~(differs | differs >> 8 | differs >> 16 | differs >> 24));
}

// What the planes become, before the map mask.
uint32_t VgaCore::written_planes(uint8_t value) const {
  const unsigned mode = s_.graphics[kMode] & 3U;
  if (mode == 1) {
    return s_.latch;
  }
  const uint8_t rotated = std::rotr(value, s_.graphics[kRotate] & 7);
  uint32_t bits = s_.graphics[kBitMask] * kEveryByte;
  uint32_t data = 0;
  if (mode == 0) {
    const uint32_t replaced = spread(s_.graphics[kEnableSetReset]);
    data = (rotated * kEveryByte & ~replaced) | (spread(s_.graphics[kSetReset]) & replaced);
  } else if (mode == 2) {
    data = spread(value);
  } else {
    bits &= rotated * kEveryByte;
    data = spread(s_.graphics[kSetReset]);
  }
  switch (s_.graphics[kRotate] >> 3 & 3) {
    case 1: data &= s_.latch; break;
    case 2: data |= s_.latch; break;
    case 3: data ^= s_.latch; break;
    default: break;
  }
  return (data & bits) | (s_.latch & ~bits);
}

void VgaCore::window_write(uint32_t offset, uint8_t value) {
  if (!window(offset)) {
    return;
  }
  const uint8_t mask = s_.sequencer[kMapMask] & 15;
  if ((s_.sequencer[kMemoryMode] & kChain4) != 0) {
    if ((mask >> (offset & 3U) & 1U) != 0) {
      memory_.store(offset, value);
    }
  } else if ((s_.sequencer[kMemoryMode] & kOddEvenOff) == 0) {
    for (uint32_t plane = offset & 1U; plane < 4; plane += 2) {
      if ((mask >> plane & 1U) != 0) {
        memory_.store((offset & ~1U) << 1 | plane, value);
      }
    }
  } else {
    const uint32_t planes = spread(mask);
    const uint32_t before = memory_.load_planes(offset << 2);
    memory_.store_planes(offset << 2, (written_planes(value) & planes) | (before & ~planes));
  }
}

uint16_t VgaCore::vbe_read(uint16_t index) const {
  if (index == kVbeMemory64K) {
    return static_cast<uint16_t>(memory_.size() >> 16);
  }
  if (index >= s_.vbe.size()) {
    return 0;
  }
  if ((s_.vbe[kVbeEnable] & kVbeGetCapabilities) != 0) {
    switch (index) {
      case kVbeWidth: return kVbeMaxWidth;
      case kVbeHeight: return kVbeMaxHeight;
      case kVbeDepth: return 32;
      default: break;
    }
  }
  return s_.vbe[index];
}

void VgaCore::vbe_write(uint16_t index, uint16_t value) {
  const bool enabled = (s_.vbe[kVbeEnable] & kVbeEnabled) != 0;
  switch (index) {
    case kVbeId:
      if (value >= kVbeOldestId && value <= kVbeNewestId) {
        s_.vbe[kVbeId] = value;
      }
      break;
    case kVbeWidth:
      if (value <= kVbeMaxWidth && value % 8 == 0) {
        s_.vbe[kVbeWidth] = value;
      }
      break;
    case kVbeHeight:
      if (value <= kVbeMaxHeight) {
        s_.vbe[kVbeHeight] = value;
      }
      break;
    case kVbeDepth:
      if (const uint16_t depth = value == 0 ? 8 : value;
          depth == 4 || depth == 8 || depth == 15 || depth == 16 || depth == 24 || depth == 32) {
        s_.vbe[kVbeDepth] = depth;
      }
      break;
    case kVbeEnable: vbe_enable(value); break;
    case kVbeBank: s_.vbe[kVbeBank] = static_cast<uint16_t>(value & ((memory_.size() >> 16) - 1)); break;
    case kVbeVirtualWidth:
    case kVbeXOffset:
    case kVbeYOffset:
      s_.vbe[index] = value;
      if (enabled) {
        fit_vbe();
      }
      break;
    default: break;
  }
}

void VgaCore::vbe_enable(uint16_t value) {
  const bool before = (s_.vbe[kVbeEnable] & kVbeEnabled) != 0;
  if ((value & kVbeEnabled) != 0 && !before) {
    s_.vbe[kVbeVirtualWidth] = s_.vbe[kVbeWidth];
    s_.vbe[kVbeXOffset] = s_.vbe[kVbeYOffset] = 0;
    fit_vbe();
    if ((value & kVbeKeepMemory) == 0) {
      const uint64_t bits = uint64_t{s_.vbe[kVbeVirtualWidth]} * std::max<uint16_t>(s_.vbe[kVbeDepth], 4);
      memory_.clear(0, static_cast<uint32_t>(std::min<uint64_t>(bits / 8 * s_.vbe[kVbeHeight], memory_.size())));
    }
  } else if ((value & kVbeEnabled) == 0) {
    s_.vbe[kVbeBank] = 0;
  }
  s_.vbe[kVbeEnable] = value;
}

// What the guest asked for, made to fit into the memory.
void VgaCore::fit_vbe() {
  const uint32_t depth = std::max<uint32_t>(s_.vbe[kVbeDepth], 4);
  const uint32_t line = std::max<uint32_t>(s_.vbe[kVbeVirtualWidth], s_.vbe[kVbeWidth]);
  s_.vbe[kVbeVirtualWidth] = static_cast<uint16_t>(line);
  const uint32_t bytes = std::max<uint32_t>(line * (depth == 15 ? 16 : depth) / 8, 1);
  const uint32_t lines = memory_.size() / bytes;
  s_.vbe[kVbeVirtualHeight] = static_cast<uint16_t>(std::min<uint32_t>(lines, 0xFFFF));
  s_.vbe[kVbeHeight] = static_cast<uint16_t>(std::min<uint32_t>(s_.vbe[kVbeHeight], lines));
  s_.vbe[kVbeXOffset] = static_cast<uint16_t>(std::min<uint32_t>(s_.vbe[kVbeXOffset], line - s_.vbe[kVbeWidth]));
  s_.vbe[kVbeYOffset] =
      static_cast<uint16_t>(std::min<uint32_t>(s_.vbe[kVbeYOffset], s_.vbe[kVbeVirtualHeight] - s_.vbe[kVbeHeight]));
}

}  // namespace lodge
