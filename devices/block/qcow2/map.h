// Where a qcow2 image's clusters are: the L1 table and as many L2 tables as there is room for. Looked up by any queue's loop
// (a lock held for a few instructions), changed by the home loop alone (image.h).
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "devices/block/qcow2/format.h"

namespace lodge::qcow2 {

// A stretch of the guest's bytes that is of one kind.
struct Extent {
  enum class Kind : uint8_t {
    unknown,      // the L2 table is not here: ask the home loop
    unallocated,  // the backing file has it, or it is zeros
    zero,         // reads as zeros; `host` is kept for it if not 0
    data,         // at `host`
    compressed,   // `entry` says where
    damaged,      // the entry is impossible
  };
  Kind kind = Kind::unknown;
  bool sole = false;    // nothing else refers to the cluster at `host`: it may be written in place
  uint64_t length = 0;  // bytes
  uint64_t host = 0;    // of the first byte (zero: of its cluster)
  uint64_t entry = 0;   // of the first cluster
};

// An L2 table in memory.
struct L2Table {
  std::vector<uint64_t> entries;
  uint64_t offset = 0;        // in the file
  bool dirty = false;         // differs from the file
  bool writing = false;       // on its way there: must stay, for the file may still have the old one
  mutable uint64_t used = 0;  // when, for choosing who goes
};

// The guest's requests that look at the mapping. What a change of it makes free may be used again only when all that began
// before are done.
class Generations {
 public:
  [[nodiscard]] uint64_t begin();
  void end(uint64_t generation);
  // Requests from now on see changes made so far.
  uint64_t advance();
  // Whether all that began in `generation` or before are done.
  [[nodiscard]] bool settled(uint64_t generation) const;

 private:
  uint64_t now_ = 1;
  std::map<uint64_t, uint64_t> running_;  // by generation
};

class Map {
 public:
  // `tables`: how many L2 tables are kept.
  Map(const Header& header, std::vector<uint64_t> l1, size_t tables);

  // The extent at the beginning of [offset, offset + length), which is inside the image. Any thread.
  [[nodiscard]] Extent lookup(uint64_t offset, uint64_t length) const;
  [[nodiscard]] uint64_t begin_request();
  void end_request(uint64_t generation);

  // The home loop's.
  [[nodiscard]] uint64_t l1(uint32_t index) const { return l1_[index]; }
  [[nodiscard]] size_t l1_entries() const { return l1_.size(); }
  void set_l1(uint32_t index, uint64_t entry);
  void grow_l1(size_t entries);
  [[nodiscard]] bool loaded(uint32_t index) const { return tables_.contains(index); }
  // Takes a table in; lets the oldest go that is as in the file, if there are too many.
  void insert(uint32_t index, L2Table table);
  [[nodiscard]] uint64_t entry(uint32_t index, uint32_t slot) const { return tables_.at(index).entries[slot]; }
  // Changes entries and marks the table dirty.
  void set(uint32_t index, uint32_t slot, uint64_t entry);
  [[nodiscard]] const L2Table& table(uint32_t index) const { return tables_.at(index); }
  // The table is somewhere else now.
  void move(uint32_t index, uint64_t offset);
  // Copies of the dirty tables, which are clean from now on: whoever takes them writes them, and says how it went.
  [[nodiscard]] std::vector<std::pair<uint32_t, L2Table>> take_dirty();
  void written(uint32_t index, bool well);
  [[nodiscard]] size_t dirty() const { return dirty_; }
  [[nodiscard]] size_t room() const { return room_; }
  uint64_t advance();
  [[nodiscard]] bool settled(uint64_t generation) const;

 private:
  [[nodiscard]] Extent classify(uint64_t entry) const;

  const uint32_t cluster_bits_;
  const uint32_t l2_bits_;
  const bool has_zero_;
  const size_t room_;
  mutable Mutex mutex_;
  // These two: written by the home loop under the lock; read there without it.
  std::vector<uint64_t> l1_;
  std::unordered_map<uint32_t, L2Table> tables_;
  Generations generations_ GUARDED_BY(mutex_);
  size_t dirty_ = 0;
  mutable uint64_t clock_ GUARDED_BY(mutex_) = 0;
};

}  // namespace lodge::qcow2
