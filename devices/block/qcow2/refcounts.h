// How often each cluster of a qcow2 file is referred to: finding free ones, and giving them back. The home loop's
// (image.h), under its metadata lock.
//
// A count may be too high after a power cut (a leak), never too low: counts go up in the file before the data and tables
// that need them are made durable, and down only when nothing durable refers to the cluster any more.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/io/task.h"
#include "devices/block/qcow2/format.h"
#include "devices/block/qcow2/io.h"

namespace lodge::qcow2 {

// Clusters side by side; `count` 0: none.
struct Run {
  uint64_t first = 0;
  uint64_t count = 0;
  bool blank = false;  // never written to: reads as zeros
};

class Refcounts {
 public:
  // `table`: the refcount table as in the file. `blank_from`: clusters from here on read as zeros until somebody writes
  // there (the file's end; UINT64_MAX on a block device).
  Refcounts(const Header& header, std::vector<uint64_t> table, uint64_t blank_from);

  // The file to work on, for as long as the home loop stays the same.
  void use(BlockQueue& file) { file_ = &file; }

  // Takes at most `want` clusters; their counts are one in the file when its next flush is done. Error: an errno value.
  [[nodiscard]] Task<int> allocate(uint64_t want, Run& got);
  // One reference less to each.
  [[nodiscard]] Task<int> release(uint64_t first, uint64_t count);
  // Writes blocks that changed through release().
  [[nodiscard]] Task<int> write_back();
  // Gives back what was reserved and not taken. Afterwards write_back().
  [[nodiscard]] Task<int> give_back();

 private:
  struct Block {
    std::vector<std::byte> bytes;
    bool dirty = false;
  };
  [[nodiscard]] uint64_t per_block() const { return uint64_t{1} << header_.refcount_bits(); }
  [[nodiscard]] uint64_t get(const Block& block, uint64_t index) const;
  void set(Block& block, uint64_t index, uint64_t count) const;
  [[nodiscard]] Task<int> load(uint64_t index);
  [[nodiscard]] Task<int> add_block(uint64_t index);
  [[nodiscard]] Task<int> grow_table(uint64_t index);
  [[nodiscard]] Task<int> write_block(uint64_t index);
  [[nodiscard]] Task<int> reserve(uint64_t want);

  const Header& header_;
  BlockQueue* file_ = nullptr;
  std::vector<uint64_t> table_;
  uint64_t table_offset_;
  std::unordered_map<uint64_t, Block> blocks_;
  uint64_t blank_from_;
  uint64_t hint_ = 0;  // no cluster before it is free
  Run reserved_;
};

}  // namespace lodge::qcow2
