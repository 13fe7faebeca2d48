#include "devices/block/qcow2/refcounts.h"

#include <algorithm>

#include "base/units.h"

namespace lodge::qcow2 {
namespace {

// How many clusters are reserved at a time: one block is written for all of them, and so many may leak at a power cut.
constexpr uint64_t kReserve = 64;
constexpr uint64_t kWriteUnit = kPageSize;  // of a block; direct I/O can take it
constexpr uint64_t kEntry = 8;

}  // namespace

Refcounts::Refcounts(const Header& header, std::vector<uint64_t> table, uint64_t blank_from)
    : header_(header), table_(std::move(table)), table_offset_(header.refcount_table_offset), blank_from_(blank_from) {}

uint64_t Refcounts::get(const Block& block, uint64_t index) const {
  if (header_.refcount_order < 3) {
    const uint32_t bits = 1U << header_.refcount_order;
    const auto byte = static_cast<uint64_t>(block.bytes[index * bits / 8]);
    return byte >> (index * bits % 8) & ((1U << bits) - 1);
  }
  const size_t size = size_t{1} << (header_.refcount_order - 3);
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value = value << 8 | static_cast<uint64_t>(block.bytes[index * size + i]);
  }
  return value;
}

void Refcounts::set(Block& block, uint64_t index, uint64_t count) const {
  block.dirty = true;
  if (header_.refcount_order < 3) {
    const uint32_t bits = 1U << header_.refcount_order;
    std::byte& byte = block.bytes[index * bits / 8];
    const auto shift = static_cast<uint32_t>(index * bits % 8);
    const auto mask = static_cast<std::byte>(((1U << bits) - 1) << shift);
    byte = (byte & ~mask) | static_cast<std::byte>(count << shift);
    return;
  }
  const size_t size = size_t{1} << (header_.refcount_order - 3);
  for (size_t i = size; i > 0; --i) {
    block.bytes[index * size + i - 1] = static_cast<std::byte>(count);
    count >>= 8;
  }
}

Task<int> Refcounts::load(uint64_t index) {
  if (blocks_.contains(index)) {
    co_return 0;
  }
  const uint64_t at = index < table_.size() ? table_[index] & ~uint64_t{511} : 0;
  if (at == 0) {
    co_return ENOENT;
  }
  if (at % header_.cluster_size() != 0 || at >= kMaxFile) {
    co_return EIO;
  }
  Block block{std::vector<std::byte>(header_.cluster_size())};
  BlockIo read(*file_, BlockRequest::Kind::read, at, block.bytes.data(), block.bytes.size());
  if (const int error = co_await read; error != 0) {
    co_return error;
  }
  blocks_[index] = std::move(block);
  co_return 0;
}

Task<int> Refcounts::write_block(uint64_t index) {
  Block& block = blocks_.at(index);
  block.dirty = false;
  // What is written is a copy: it may change again on the way.
  std::vector<std::byte> bytes = block.bytes;
  BlockIo write(*file_, BlockRequest::Kind::write, table_[index], bytes.data(), bytes.size());
  const int error = co_await write;
  if (error != 0) {
    blocks_.at(index).dirty = true;
  }
  co_return error;
}

// No cluster that a missing block stands for is referred to, so the first of them can be the block.
Task<int> Refcounts::add_block(uint64_t index) {
  if (index >= table_.size()) {
    if (const int error = co_await grow_table(index); error != 0) {
      co_return error;
    }
    if (blocks_.contains(index)) {
      co_return 0;  // the new table needed it itself
    }
  }
  const uint64_t at = (index << header_.refcount_bits()) << header_.cluster_bits;
  if (at >= kMaxFile) {
    co_return ENOSPC;
  }
  Block block{std::vector<std::byte>(header_.cluster_size())};
  set(block, 0, 1);
  blocks_[index] = std::move(block);
  table_[index] = at;
  int error = co_await write_block(index);
  if (error == 0) {
    BlockIo flush(*file_, BlockRequest::Kind::flush, 0, 0);  // the table must not show what is not there
    error = co_await flush;
  }
  if (error == 0) {
    const uint64_t unit = std::min(kWriteUnit, header_.cluster_size());
    const uint64_t first = align_down(index * kEntry, unit) / kEntry;
    std::vector<uint64_t> part(unit / kEntry);
    for (size_t i = 0; i < part.size() && first + i < table_.size(); ++i) {
      part[i] = swapped(table_[first + i]);
    }
    BlockIo write(*file_, BlockRequest::Kind::write, table_offset_ + first * kEntry, part.data(), unit);
    error = co_await write;
  }
  if (error != 0) {
    table_[index] = 0;
    blocks_.erase(index);
  }
  co_return error;
}

// A larger table beyond all that the old one can count, where everything is free, with the blocks that count itself. The
// header shows it last, when all of that is durable; the old table's clusters leak until they are released.
Task<int> Refcounts::grow_table(uint64_t index) {
  const uint64_t cluster = header_.cluster_size();
  const uint64_t first_index = table_.size();
  const uint64_t entries = align_up(std::max(index + 2, first_index * 2), cluster / kEntry);
  const uint64_t clusters = entries * kEntry / cluster;
  if (entries * kEntry > std::max(kMaxRefcountTableBytes, cluster)) {
    co_return EFBIG;
  }
  const uint64_t first = first_index << header_.refcount_bits();  // cluster
  if (clusters + 1 > per_block()) {
    co_return EFBIG;
  }
  Block block{std::vector<std::byte>(cluster)};
  for (uint64_t i = 0; i <= clusters; ++i) {
    set(block, i, 1);  // the block, then the table
  }
  block.dirty = false;
  std::vector<uint64_t> grown(entries);
  std::ranges::transform(table_, grown.begin(), swapped);
  grown[first_index] = swapped(first * cluster);
  BlockIo write_counts(*file_, BlockRequest::Kind::write, first * cluster, block.bytes.data(), cluster);
  int error = co_await write_counts;
  if (error == 0) {
    BlockIo write_table(*file_, BlockRequest::Kind::write, (first + 1) * cluster, grown.data(), entries * kEntry);
    error = co_await write_table;
  }
  if (error == 0) {
    BlockIo flush(*file_, BlockRequest::Kind::flush, 0, 0);
    error = co_await flush;
  }
  // The header's first sectors, in one write: offset and size of the table belong together.
  const uint64_t unit = std::min(kWriteUnit, cluster);
  std::vector<std::byte> header(unit);
  if (error == 0) {
    BlockIo read(*file_, BlockRequest::Kind::read, 0, header.data(), unit);
    error = co_await read;
  }
  if (error == 0) {
    const uint64_t offset = swapped((first + 1) * cluster);
    const uint32_t count = __builtin_bswap32(static_cast<uint32_t>(clusters));
    std::memcpy(header.data() + 48, &offset, sizeof offset);
    std::memcpy(header.data() + 56, &count, sizeof count);
    BlockIo write_header(*file_, BlockRequest::Kind::write, 0, header.data(), unit);
    error = co_await write_header;
  }
  if (error == 0) {
    BlockIo flush(*file_, BlockRequest::Kind::flush, 0, 0);
    error = co_await flush;
  }
  if (error != 0) {
    co_return error;
  }
  const uint64_t old = table_offset_ >> header_.cluster_bits;
  const uint64_t old_clusters = first_index * kEntry / cluster;
  table_offset_ = (first + 1) * cluster;
  table_.resize(entries);
  table_[first_index] = first * cluster;
  blocks_[first_index] = std::move(block);
  co_return co_await release(old, old_clusters);
}

// Finds clusters that are free, side by side, and counts them as used in their block, which is written.
Task<int> Refcounts::reserve(uint64_t want) {
  want = std::min(std::max(want, kReserve), per_block());
  for (uint64_t at = hint_;; ++at) {
    const uint64_t index = at >> header_.refcount_bits();
    int error = co_await load(index);
    if (error == ENOENT) {
      error = co_await add_block(index);
    }
    if (error != 0) {
      co_return error;
    }
    Block& block = blocks_.at(index);
    uint64_t slot = at & (per_block() - 1);
    while (slot < per_block() && get(block, slot) != 0) {
      ++slot;
    }
    if (slot == per_block()) {
      at = ((index + 1) << header_.refcount_bits()) - 1;
      continue;
    }
    uint64_t count = 0;
    while (count < want && slot + count < per_block() && get(block, slot + count) == 0) {
      set(block, slot + count, 1);
      ++count;
    }
    const uint64_t first = (index << header_.refcount_bits()) + slot;
    if ((first + count) << header_.cluster_bits >= kMaxFile) {
      co_return ENOSPC;
    }
    if (error = co_await write_block(index); error != 0) {
      for (uint64_t i = 0; i < count; ++i) {
        set(blocks_.at(index), slot + i, 0);
      }
      co_return error;
    }
    reserved_ = {first, count, first >= blank_from_};
    hint_ = first + count;
    blank_from_ = first + count > blank_from_ ? std::max(blank_from_, first + count) : blank_from_;
    co_return 0;
  }
}

Task<int> Refcounts::allocate(uint64_t want, Run& got) {
  if (reserved_.count == 0) {
    if (const int error = co_await reserve(want); error != 0) {
      co_return error;
    }
  }
  got = {reserved_.first, std::min(want, reserved_.count), reserved_.blank};
  reserved_.first += got.count;
  reserved_.count -= got.count;
  co_return 0;
}

Task<int> Refcounts::release(uint64_t first, uint64_t count) {
  for (uint64_t i = first; i < first + count; ++i) {
    const uint64_t index = i >> header_.refcount_bits();
    if (const int error = co_await load(index); error != 0) {
      co_return error == ENOENT ? EIO : error;
    }
    Block& block = blocks_.at(index);
    const uint64_t slot = i & (per_block() - 1);
    const uint64_t have = get(block, slot);
    if (have == 0) {
      co_return EIO;  // the file's counts are wrong
    }
    set(block, slot, have - 1);
    if (have == 1) {
      hint_ = std::min(hint_, i);
    }
  }
  co_return 0;
}

Task<int> Refcounts::write_back() {
  for (auto& [index, block] : blocks_) {
    if (block.dirty) {
      if (const int error = co_await write_block(index); error != 0) {
        co_return error;
      }
    }
  }
  co_return 0;
}

Task<int> Refcounts::give_back() {
  const Run rest = std::exchange(reserved_, {});
  co_return rest.count == 0 ? 0 : co_await release(rest.first, rest.count);
}

}  // namespace lodge::qcow2
