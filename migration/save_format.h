// The layout of a saved guest's file (docs/state-format.md). Included by save_writer.cc, save_reader.cc and tests only.
//
//   header | region table | configuration | records | end record | hole to 2 MiB | RAM of each region
#pragma once

#include <array>
#include <cstdint>

#include "base/units.h"

namespace lodge::save_format {

inline constexpr std::array<char, 8> kMagic{'L', 'O', 'D', 'G', 'E', '\x1A', '\r', '\n'};
inline constexpr uint32_t kVersion = 1;
inline constexpr std::array<char, 8> kArchitecture{'x', '8', '6', '_', '6', '4', '\0', '\0'};
inline constexpr uint32_t kEndianness = 0x0102'0304;  // as the writer's processor stores it
inline constexpr uint32_t kRamChecksums = 1;          // flag: the region table has CRCs
inline constexpr uint32_t kKnownFlags = kRamChecksums;
inline constexpr std::array<char, 8> kEndMagic{'L', 'O', 'D', 'G', 'E', 'E', 'N', 'D'};

// Caps that come before any allocation.
inline constexpr uint64_t kMaxConfig = 16 * kMiB;
inline constexpr uint64_t kMaxRecords = 512 * kMiB;
inline constexpr uint32_t kMaxRegions = 64;
inline constexpr uint64_t kRamAlignment = 2 * kMiB;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t header_length = 0;  // of this struct, as the writer knows it
  std::array<char, 8> architecture = kArchitecture;
  uint32_t endianness = kEndianness;
  uint32_t page_size = kPageSize;
  uint32_t flags = 0;
  uint32_t regions = 0;
  uint64_t config_length = 0;
  uint64_t records_length = 0;
  uint64_t file_size = 0;
  std::array<uint8_t, 64> reserved{};  // zero
};
static_assert(sizeof(Header) == 128);

struct Region {
  uint64_t base = 0;  // guest physical
  uint64_t size = 0;
  uint64_t offset = 0;  // in the file
  uint32_t crc = 0;     // of its bytes, if the flag is set
  uint32_t reserved = 0;
};
static_assert(sizeof(Region) == 32);

struct End {
  std::array<char, 8> magic = kEndMagic;
  uint64_t length = 0;  // of all that stands before this record
  uint32_t crc = 0;     // CRC-32C of that
  uint32_t reserved = 0;
};
static_assert(sizeof(End) == 24);

}  // namespace lodge::save_format
