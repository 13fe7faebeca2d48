#include "devices/flash/cfi.h"

#include <bit>

namespace lodge {
namespace {

constexpr uint8_t kIntel = 0x89;
constexpr uint8_t kNoPart = 0x00;  // no part of Intel's is like this one; the query has its geometry
constexpr uint8_t kUnlocked = 0;

constexpr size_t kExtended = 0x31;  // Intel's table

}  // namespace

std::array<uint8_t, kCfiSize> cfi_table(uint32_t size) {
  std::array<uint8_t, kCfiSize> table{};
  const auto put16 = [&table](size_t at, uint32_t value) {
    table.at(at) = static_cast<uint8_t>(value);
    table.at(at + 1) = static_cast<uint8_t>(value >> 8);
  };
  // Identification (section 2.2): the string, the command set, where its own table is; no second command set.
  table[0x10] = 'Q';
  table[0x11] = 'R';
  table[0x12] = 'Y';
  put16(0x13, 0x0001);
  put16(0x15, kExtended);
  // System interface (2.3): 4.5 to 5.5 V, no other voltage to program with; times as powers of two of microseconds for a
  // byte and a buffer, of milliseconds for a block, and how many times (a power of two again) the longest may take.
  table[0x1B] = 0x45;
  table[0x1C] = 0x55;
  table[0x1F] = 7;
  table[0x20] = 7;
  table[0x21] = 10;
  table[0x23] = 4;
  table[0x24] = 4;
  table[0x25] = 4;
  // Geometry (2.4): the size as a power of two (rounded up: the regions have the number), eight data lines, the buffer, one
  // region of equal blocks.
  table[0x27] = static_cast<uint8_t>(std::bit_width(size - 1));
  put16(0x28, 0x0000);
  put16(0x2A, kFlashBufferShift);
  table[0x2C] = 1;
  put16(0x2D, size / kFlashBlock - 1);
  put16(0x2F, kFlashBlock / 256);
  // Intel's table, version 1.0: no suspend, no locks, no protection registers; 5.0 V is best.
  table[kExtended + 0] = 'P';
  table[kExtended + 1] = 'R';
  table[kExtended + 2] = 'I';
  table[kExtended + 3] = '1';
  table[kExtended + 4] = '0';
  table[kExtended + 12] = 0x50;
  return table;
}

uint8_t flash_identifier(uint32_t offset) {
  switch (offset % kFlashBlock) {
    case 0: return kIntel;
    case 1: return kNoPart;
    case 2: return kUnlocked;
    default: return 0;
  }
}

}  // namespace lodge
