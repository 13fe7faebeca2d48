#include "devices/block/qcow2/map.h"

#include <algorithm>

namespace lodge::qcow2 {

uint64_t Generations::begin() {
  ++running_[now_];
  return now_;
}

void Generations::end(uint64_t generation) {
  const auto found = running_.find(generation);
  if (found != running_.end() && --found->second == 0) {
    running_.erase(found);
  }
}

uint64_t Generations::advance() { return now_++; }

bool Generations::settled(uint64_t generation) const { return running_.empty() || running_.begin()->first > generation; }

Map::Map(const Header& header, std::vector<uint64_t> l1, size_t tables)
    : cluster_bits_(header.cluster_bits),
      l2_bits_(header.l2_bits()),
      has_zero_(header.version >= 3),
      room_(tables),
      l1_(std::move(l1)) {}

Extent Map::classify(uint64_t entry) const {
  Extent extent;
  extent.entry = entry;
  if ((entry & kCompressed) != 0) {
    const CompressedPlace place = compressed_place(entry, cluster_bits_);
    extent.kind = place.offset < 512 || place.offset > kMaxFile ? Extent::Kind::damaged : Extent::Kind::compressed;
    return extent;
  }
  const uint64_t host = entry & kOffsetMask;
  const bool zero = has_zero_ && (entry & kZero) != 0;
  if (host % (uint64_t{1} << cluster_bits_) != 0) {
    extent.kind = Extent::Kind::damaged;
    return extent;
  }
  extent.host = host;
  extent.sole = host != 0 && (entry & kCopied) != 0;
  extent.kind = zero ? Extent::Kind::zero : host != 0 ? Extent::Kind::data : Extent::Kind::unallocated;
  return extent;
}

Extent Map::lookup(uint64_t offset, uint64_t length) const {
  const uint64_t cluster = uint64_t{1} << cluster_bits_;
  const auto index = static_cast<uint32_t>(offset >> (cluster_bits_ + l2_bits_));
  const uint64_t reach = uint64_t{1} << (cluster_bits_ + l2_bits_);
  length = std::min(length, reach - offset % reach);  // one table
  const Lock lock(mutex_);
  Extent first;
  const auto found = tables_.find(index);
  if (found == tables_.end()) {
    first.kind = (l1_[index] & kOffsetMask) == 0 ? Extent::Kind::unallocated : Extent::Kind::unknown;
    first.length = length;
    return first;
  }
  const L2Table& table = found->second;
  table.used = ++clock_;
  const uint64_t within = offset % cluster;
  auto slot = static_cast<uint32_t>(offset >> cluster_bits_ & ((1U << l2_bits_) - 1));
  first = classify(table.entries[slot]);
  first.length = std::min(length, cluster - within);
  if (first.kind == Extent::Kind::compressed || first.kind == Extent::Kind::damaged) {
    return first;
  }
  while (first.length < length) {
    const Extent next = classify(table.entries[++slot]);
    const bool goes_on = next.kind == first.kind && next.sole == first.sole &&
                         (first.kind != Extent::Kind::data || next.host == first.host + within + first.length);
    if (!goes_on) {
      break;
    }
    first.length = std::min(length, first.length + cluster);
  }
  if (first.kind == Extent::Kind::data) {
    first.host += within;
  }
  return first;
}

uint64_t Map::begin_request() {
  const Lock lock(mutex_);
  return generations_.begin();
}

void Map::end_request(uint64_t generation) {
  const Lock lock(mutex_);
  generations_.end(generation);
}

void Map::insert(uint32_t index, L2Table table) {
  const Lock lock(mutex_);
  if (tables_.size() >= room_) {
    const auto oldest = std::ranges::min_element(tables_, {}, [](const auto& each) {
      return each.second.dirty || each.second.writing ? UINT64_MAX : each.second.used;
    });
    if (oldest != tables_.end() && !oldest->second.dirty && !oldest->second.writing) {
      tables_.erase(oldest);
    }
  }
  table.used = ++clock_;
  dirty_ += table.dirty ? 1 : 0;
  tables_[index] = std::move(table);
}

void Map::set(uint32_t index, uint32_t slot, uint64_t entry) {
  const Lock lock(mutex_);
  L2Table& table = tables_.at(index);
  table.entries[slot] = entry;
  dirty_ += table.dirty ? 0 : 1;
  table.dirty = true;
}

void Map::move(uint32_t index, uint64_t offset) {
  const Lock lock(mutex_);
  L2Table& table = tables_.at(index);
  table.offset = offset;
  dirty_ += table.dirty ? 0 : 1;
  table.dirty = true;
}

std::vector<std::pair<uint32_t, L2Table>> Map::take_dirty() {
  const Lock lock(mutex_);
  std::vector<std::pair<uint32_t, L2Table>> taken;
  for (auto& [index, table] : tables_) {
    if (table.dirty) {
      taken.emplace_back(index, table);
      table.dirty = false;
      table.writing = true;
    }
  }
  dirty_ = 0;
  return taken;
}

void Map::written(uint32_t index, bool well) {
  const Lock lock(mutex_);
  const auto found = tables_.find(index);
  if (found == tables_.end()) {
    return;  // written, and gone since
  }
  found->second.writing = false;
  if (!well && !found->second.dirty) {
    found->second.dirty = true;
    ++dirty_;
  }
}

void Map::set_l1(uint32_t index, uint64_t entry) {
  const Lock lock(mutex_);
  l1_[index] = entry;
}

void Map::grow_l1(size_t entries) {
  const Lock lock(mutex_);
  l1_.resize(entries);
}

uint64_t Map::advance() {
  const Lock lock(mutex_);
  return generations_.advance();
}

bool Map::settled(uint64_t generation) const {
  const Lock lock(mutex_);
  return generations_.settled(generation);
}

}  // namespace lodge::qcow2
