#include "devices/block/qcow2/format.h"

#include <algorithm>

namespace lodge::qcow2 {
namespace {

constexpr uint32_t kHeaderBytes2 = 72;  // of version 2
constexpr uint32_t kHeaderBytes3 = 104;
constexpr uint32_t kCompressionByte = 104;
constexpr uint32_t kBackingFormatExtension = 0xE2792ACA;
constexpr uint32_t kMaxName = 1023;
constexpr uint64_t kKnown = kDirty | kCorrupt | kExternalData | kCompressionType | kSubclusters;

bool aligned(uint64_t offset, const Header& header) {
  return offset % header.cluster_size() == 0 && offset < kMaxFile && offset != 0;
}

std::string text_at(std::span<const std::byte> from, size_t offset, size_t length) {
  const auto part = from.subspan(offset, length);
  return {reinterpret_cast<const char*>(part.data()), part.size()};  // SAFETY: bytes as characters
}

Result<void> check_features(const Header& header, std::string_view what) {
  if ((header.incompatible & ~kKnown) != 0) {
    return fail(
        "cannot use {}: the qcow2 image needs features (mask {:#x}) that are not known here; convert it with qemu-img", what,
        header.incompatible & ~kKnown);
  }
  if ((header.incompatible & kExternalData) != 0) {
    return fail("cannot use {}: the qcow2 image keeps its data in another file; convert it with qemu-img convert -O qcow2",
                what);
  }
  if ((header.incompatible & kSubclusters) != 0) {
    return fail(
        "cannot use {}: the qcow2 image has subclusters; convert it with qemu-img convert -O qcow2 -o extended_l2=off",
        what);
  }
  return {};
}

Result<void> check_tables(const Header& header, std::string_view what) {
  const uint64_t l1_bytes = uint64_t{header.l1_entries} * 8;
  if (l1_bytes > kMaxL1Bytes || (header.l1_entries != 0 && !aligned(header.l1_offset, header)) ||
      header.l1_offset > kMaxFile - kMaxL1Bytes) {
    return fail("cannot use {}: the qcow2 image's L1 table ({} entries at {:#x}) is not possible; the file is damaged", what,
                header.l1_entries, header.l1_offset);
  }
  if (header.size > kMaxFile || header.size > uint64_t{header.l1_entries} * header.l2_reach()) {
    return fail("cannot use {}: the qcow2 image's size of {} bytes is more than its L1 table covers; the file is damaged",
                what, header.size);
  }
  if (header.refcount_table_clusters == 0 ||
      uint64_t{header.refcount_table_clusters} << header.cluster_bits >
          std::max(kMaxRefcountTableBytes, header.cluster_size()) ||
      !aligned(header.refcount_table_offset, header)) {
    return fail(
        "cannot use {}: the qcow2 image's refcount table ({} clusters at {:#x}) is not possible; the file is damaged", what,
        header.refcount_table_clusters, header.refcount_table_offset);
  }
  return {};
}

// Extensions lie between the header and the backing file's name: type, length, data, padding to 8 bytes.
Result<void> read_extensions(Header& header, std::span<const std::byte> first, size_t at, std::string_view what) {
  while (at + 8 <= first.size()) {
    const auto type = load_be<uint32_t>(first, at);
    const auto length = load_be<uint32_t>(first, at + 4);
    if (type == 0) {
      return {};
    }
    if (length > first.size() - at - 8) {
      return fail("cannot use {}: a header extension of the qcow2 image is {} bytes long; the file is damaged", what,
                  length);
    }
    if (type == kBackingFormatExtension) {
      header.backing_format = text_at(first, at + 8, length);
    }
    at += 8 + ((size_t{length} + 7) & ~size_t{7});
  }
  return {};
}

}  // namespace

Result<Header> parse_header(std::span<const std::byte> first, std::string_view what) {
  if (first.size() < kHeaderBytes2 || load_be<uint32_t>(first, 0) != kMagic) {
    return fail("cannot use {}: it is no qcow2 image; name its format (raw?)", what);
  }
  Header header;
  header.version = load_be<uint32_t>(first, 4);
  if (header.version != 2 && header.version != 3) {
    return fail("cannot use {}: version {} of qcow2 is not known here; convert it with qemu-img", what, header.version);
  }
  header.cluster_bits = load_be<uint32_t>(first, 20);
  if (header.cluster_bits < 9 || header.cluster_bits > 21) {
    return fail("cannot use {}: clusters of 2^{} bytes are not possible; the file is damaged", what, header.cluster_bits);
  }
  header.size = load_be<uint64_t>(first, 24);
  if (load_be<uint32_t>(first, 32) != 0) {
    return fail("cannot use {}: the qcow2 image is encrypted; decrypt it with qemu-img convert", what);
  }
  header.l1_entries = load_be<uint32_t>(first, 36);
  header.l1_offset = load_be<uint64_t>(first, 40);
  header.refcount_table_offset = load_be<uint64_t>(first, 48);
  header.refcount_table_clusters = load_be<uint32_t>(first, 56);
  header.snapshots = load_be<uint32_t>(first, 60);
  size_t length = kHeaderBytes2;
  if (header.version == 3) {
    length = first.size() < kHeaderBytes3 ? 0 : load_be<uint32_t>(first, 100);
    if (length < kHeaderBytes3 || length > first.size() || length % 8 != 0) {
      return fail("cannot use {}: a qcow2 header of {} bytes is not possible; the file is damaged", what, length);
    }
    header.incompatible = load_be<uint64_t>(first, 72);
    header.autoclear = load_be<uint64_t>(first, 88);
    header.refcount_order = load_be<uint32_t>(first, 96);
    if (header.refcount_order > 6) {
      return fail("cannot use {}: reference counts of 2^{} bits are not possible; the file is damaged", what,
                  header.refcount_order);
    }
    const auto compression = length > kCompressionByte ? static_cast<uint8_t>(first[kCompressionByte]) : uint8_t{0};
    if (compression > 1 || ((header.incompatible & kCompressionType) != 0) != (compression != 0)) {
      return fail("cannot use {}: compression {} of qcow2 is not known here; convert it with qemu-img", what, compression);
    }
    header.compression = static_cast<Compression>(compression);
  }
  TRY_VOID(check_features(header, what));
  TRY_VOID(check_tables(header, what));
  TRY_VOID(read_extensions(header, first, length, what));
  const auto name_at = load_be<uint64_t>(first, 8);
  const auto name_length = load_be<uint32_t>(first, 16);
  if (name_at != 0) {
    if (name_length > kMaxName || name_at > first.size() || name_length > first.size() - name_at) {
      return fail(
          "cannot use {}: the name of the qcow2 image's backing file is not inside its first cluster; the file is damaged",
          what);
    }
    header.backing_file = text_at(first, name_at, name_length);
  }
  return header;
}

CompressedPlace compressed_place(uint64_t entry, uint32_t cluster_bits) {
  const uint32_t bits = 62 - (cluster_bits - 8);  // of the offset; sectors beyond its first follow
  const uint64_t offset = entry & ((uint64_t{1} << bits) - 1);
  const uint64_t sectors = (entry & ~(kCopied | kCompressed)) >> bits;
  return {offset, (sectors + 1) * 512 - (offset & 511)};
}

}  // namespace lodge::qcow2
