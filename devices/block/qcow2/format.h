// What a qcow2 file says of itself (QEMU's docs/interop/qcow2.txt). Numbers in the file are big-endian. Pure functions; any
// thread. All that is read from a file is checked here, once.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace lodge::qcow2 {

inline constexpr uint32_t kMagic = 0x514649FB;  // "QFI\xFB"

// Incompatible features.
inline constexpr uint64_t kDirty = 1U << 0;         // reference counts are not up to date
inline constexpr uint64_t kCorrupt = 1U << 1;       // for reading only, until it is repaired
inline constexpr uint64_t kExternalData = 1U << 2;  // the guest's bytes are in another file
inline constexpr uint64_t kCompressionType = 1U << 3;
inline constexpr uint64_t kSubclusters = 1U << 4;

// Entries of the L1 table and of L2 tables.
inline constexpr uint64_t kOffsetMask = 0x00FF'FFFF'FFFF'FE00;
inline constexpr uint64_t kCopied = uint64_t{1} << 63;  // the reference count is exactly one
inline constexpr uint64_t kCompressed = uint64_t{1} << 62;
inline constexpr uint64_t kZero = 1;  // reads as zeros (version 3)

inline constexpr uint64_t kMaxL1Bytes = 32U << 20;
inline constexpr uint64_t kMaxRefcountTableBytes = 8U << 20;
inline constexpr uint64_t kMaxFile = uint64_t{1} << 56;

enum class Compression : uint8_t { zlib = 0, zstd = 1 };

struct Header {
  uint32_t version = 3;
  uint32_t cluster_bits = 16;
  uint64_t size = 0;  // bytes that the guest sees
  uint64_t l1_offset = 0;
  uint32_t l1_entries = 0;
  uint64_t refcount_table_offset = 0;
  uint32_t refcount_table_clusters = 0;
  uint32_t refcount_order = 4;  // a count has 2^order bits
  uint32_t snapshots = 0;
  uint64_t incompatible = 0;
  uint64_t autoclear = 0;
  Compression compression = Compression::zlib;
  std::string backing_file;                   // as the image names it; empty: none
  std::optional<std::string> backing_format;  // what the image says of it

  [[nodiscard]] uint64_t cluster_size() const { return uint64_t{1} << cluster_bits; }
  [[nodiscard]] uint32_t l2_bits() const { return cluster_bits - 3; }  // entries of a table, as a power of two
  [[nodiscard]] uint32_t refcount_bits() const { return cluster_bits + 3 - refcount_order; }  // counts of a block, likewise
  // Guest bytes for which one L2 table stands.
  [[nodiscard]] uint64_t l2_reach() const { return uint64_t{1} << (cluster_bits + l2_bits()); }
};

// From the file's first cluster, or as much of it as there is (64 KiB are enough). Errors name the fault; `what`: the image.
[[nodiscard]] Result<Header> parse_header(std::span<const std::byte> first, std::string_view what);

// Where a compressed cluster's bytes are: at most `length`, from an offset of any alignment.
struct CompressedPlace {
  uint64_t offset = 0;
  uint64_t length = 0;
};
[[nodiscard]] CompressedPlace compressed_place(uint64_t entry, uint32_t cluster_bits);

template <class T>
[[nodiscard]] T load_be(std::span<const std::byte> from, size_t offset) {
  T value;
  std::memcpy(&value, from.subspan(offset, sizeof value).data(), sizeof value);
  if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(value);
  } else {
    return __builtin_bswap64(value);
  }
}

[[nodiscard]] inline uint64_t swapped(uint64_t value) { return __builtin_bswap64(value); }

}  // namespace lodge::qcow2
