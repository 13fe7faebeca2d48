// Image's part in durability: what is written when, and what is given free after it (image.h).
#include <algorithm>
#include <cstring>

#include "base/units.h"
#include "devices/block/qcow2/home.h"

namespace lodge::qcow2 {
namespace {

using Kind = BlockRequest::Kind;

std::vector<std::byte> to_file(const std::vector<uint64_t>& entries) {
  std::vector<std::byte> bytes(entries.size() * sizeof(uint64_t));
  for (size_t i = 0; i < entries.size(); ++i) {
    const uint64_t value = swapped(entries[i]);
    std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value);
  }
  return bytes;
}

}  // namespace

Task<int> Image::write_tables(const std::vector<std::pair<uint32_t, L2Table>>& tables) {
  int first_error = 0;
  for (const auto& [index, table] : tables) {
    int error = first_error;
    if (error == 0) {
      std::vector<std::byte> bytes = to_file(table.entries);
      BlockIo io(home_->file, Kind::write, table.offset, bytes.data(), bytes.size());
      error = co_await io;
    }
    map_.written(index, error == 0);
    first_error = error;
  }
  co_return first_error;
}

Task<int> Image::write_l1(const std::set<uint32_t>& changed) {
  const uint64_t unit = std::min<uint64_t>(kPageSize, cluster());
  const uint64_t per_unit = unit / sizeof(uint64_t);
  for (auto at = changed.begin(); at != changed.end();) {
    const uint64_t begin = align_down(*at, per_unit);
    std::vector<uint64_t> entries(per_unit);
    for (uint64_t i = 0; i < per_unit && begin + i < map_.l1_entries(); ++i) {
      entries[i] = map_.l1(static_cast<uint32_t>(begin + i));
    }
    std::vector<std::byte> bytes = to_file(entries);
    BlockIo io(home_->file, Kind::write, header_.l1_offset + begin * sizeof(uint64_t), bytes.data(), unit);
    if (const int error = co_await io; error != 0) {
      co_return error;
    }
    at = changed.lower_bound(static_cast<uint32_t>(begin + per_unit));
  }
  co_return 0;
}

// What is durably free, and nobody is there any more.
Task<int> Image::release_settled() {
  std::vector<Freed> rest;
  const auto lock = co_await home_->metadata.lock();
  for (const Freed& each : std::exchange(waiting_, {})) {
    if (!map_.settled(each.generation)) {
      rest.push_back(each);
      continue;
    }
    if (const int error = co_await refcounts_.release(each.first, each.count); error != 0) {
      co_return error;
    }
  }
  waiting_.insert(waiting_.end(), rest.begin(), rest.end());
  co_return 0;
}

Task<int> Image::commit() {
  const auto turn = co_await home_->commits.lock();
  std::vector<std::pair<uint32_t, L2Table>> tables;
  std::set<uint32_t> l1;
  std::vector<Freed> freed;
  {
    const auto lock = co_await home_->metadata.lock();
    tables = map_.take_dirty();
    l1 = std::exchange(l1_dirty_, {});
    freed = std::exchange(freed_, {});
    const uint64_t generation = map_.advance();
    for (Freed& each : freed) {
      each.generation = generation;
    }
    if (const int error = co_await refcounts_.write_back(); error != 0) {
      for (const auto& [index, table] : tables) {
        map_.written(index, false);
      }
      l1_dirty_.merge(l1);
      freed_.insert(freed_.end(), freed.begin(), freed.end());
      co_return error;
    }
  }
  int error = co_await flush_file();
  if (tables.empty() && l1.empty()) {
    freed_.insert(freed_.end(), freed.begin(), freed.end());
    co_return error;
  }
  if (error == 0) {
    error = co_await write_tables(tables);
  } else {
    for (const auto& [index, table] : tables) {
      map_.written(index, false);
    }
  }
  if (error == 0 && !l1.empty()) {
    error = co_await flush_file();
    error = error == 0 ? co_await write_l1(l1) : error;
  }
  error = error == 0 ? co_await flush_file() : error;
  if (error != 0) {
    // Where they are in the file is not known: all of it is written again before anything is given free.
    for (const auto& [index, table] : tables) {
      map_.written(index, false);
    }
    l1_dirty_.merge(l1);
    freed_.insert(freed_.end(), freed.begin(), freed.end());
    co_return error;
  }
  waiting_.insert(waiting_.end(), freed.begin(), freed.end());
  co_return co_await release_settled();
}

Task<int> Image::finish() {
  if (options_.read_only) {
    co_return 0;
  }
  int error = co_await commit();
  if (error == 0) {
    waiting_.insert(waiting_.end(), freed_.begin(), freed_.end());  // of writes that failed: in no table
    freed_.clear();
    error = co_await release_settled();
  }
  if (error == 0) {
    error = co_await refcounts_.give_back();
  }
  error = error == 0 ? co_await refcounts_.write_back() : error;
  co_return error == 0 ? co_await flush_file() : error;
}

Task<int> Image::grow(uint64_t size) {
  const auto lock = co_await home_->metadata.lock();
  const uint64_t entries = (size + header_.l2_reach() - 1) / header_.l2_reach();
  const uint64_t room = std::max<uint64_t>(align_up(uint64_t{header_.l1_entries} * sizeof(uint64_t), cluster()), cluster());
  if (entries * sizeof(uint64_t) > room || header_.l1_entries == 0) {
    co_return EFBIG;  // the table would have to move
  }
  const uint64_t unit = std::min<uint64_t>(kPageSize, cluster());
  if (entries > header_.l1_entries) {  // what is behind the table is not known
    std::set<uint32_t> fresh;
    map_.grow_l1(entries);
    for (uint64_t i = header_.l1_entries; i < entries; ++i) {
      fresh.insert(static_cast<uint32_t>(i));
    }
    int error = co_await write_l1(fresh);
    error = error == 0 ? co_await flush_file() : error;
    if (error != 0) {
      co_return error;
    }
  }
  std::vector<std::byte> bytes(unit);
  BlockIo read(home_->file, Kind::read, 0, bytes.data(), unit);
  int error = co_await read;
  if (error == 0) {
    const uint64_t new_size = swapped(size);
    const uint32_t new_entries = __builtin_bswap32(static_cast<uint32_t>(std::max<uint64_t>(entries, header_.l1_entries)));
    std::memcpy(bytes.data() + 24, &new_size, sizeof new_size);
    std::memcpy(bytes.data() + 36, &new_entries, sizeof new_entries);
    BlockIo write(home_->file, Kind::write, 0, bytes.data(), unit);
    error = co_await write;
  }
  error = error == 0 ? co_await flush_file() : error;
  if (error == 0) {
    header_.size = size;
    header_.l1_entries = static_cast<uint32_t>(std::max<uint64_t>(entries, header_.l1_entries));
  }
  co_return error;
}

}  // namespace lodge::qcow2
