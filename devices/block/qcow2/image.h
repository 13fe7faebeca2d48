// A qcow2 image at work: all that takes more than a look at the mapping. Coroutines of one event loop, the home loop, which
// is that of the queue that came first; other queues send their requests there (queue.h).
//
// What a power cut leaves at any moment: tables in the file refer only to clusters that are counted and written. New entries
// wait in memory until the guest flushes; commit() then makes data and counts durable, writes the L2 tables, then the L1
// table, each durable before the next, and only then gives free what nothing refers to any more.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "base/io/task.h"
#include "devices/block/qcow2/io.h"
#include "devices/block/qcow2/map.h"
#include "devices/block/qcow2/refcounts.h"

namespace lodge::qcow2 {

class Image {
 public:
  struct Options {
    bool read_only = false;
    bool unmap = false;  // discards give clusters back
    uint64_t backing_size = 0;
    bool has_backing = false;
  };
  Image(Header header, std::vector<uint64_t> l1, std::vector<uint64_t> refcount_table, uint64_t blank_from, Options options);

  [[nodiscard]] const Header& header() const { return header_; }
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] Map& map() { return map_; }

  // From now on this loop is home, with these queues (backing: null without one). Nothing may be under way.
  void move_in(EventLoop& loop, BlockQueue& file, BlockQueue* backing);
  void move_out();

  // One of the guest's requests; its range is inside the image. The value: 0 or an errno.
  [[nodiscard]] Task<int> run(BlockRequest& request);
  // All that was written is durable.
  [[nodiscard]] Task<int> commit();
  // The file is whole and no cluster leaks; nothing else may be under way.
  [[nodiscard]] Task<int> finish();
  // The guest sees `size` bytes, which are more than before.
  [[nodiscard]] Task<int> grow(uint64_t size);

 private:
  struct Freed {
    uint64_t first;
    uint64_t count;
    uint64_t generation;
  };
  class Claim;
  struct Claiming;
  using Parts = std::span<const iovec>;

  [[nodiscard]] uint64_t cluster() const { return header_.cluster_size(); }
  [[nodiscard]] uint32_t index_of(uint64_t offset) const {
    return static_cast<uint32_t>(offset >> (header_.cluster_bits + header_.l2_bits()));
  }
  [[nodiscard]] uint32_t slot_of(uint64_t offset) const {
    return static_cast<uint32_t>(offset >> header_.cluster_bits & ((1U << header_.l2_bits()) - 1));
  }

  [[nodiscard]] Task<int> load(uint32_t index);
  [[nodiscard]] Task<int> load_locked(uint64_t offset);
  [[nodiscard]] Task<int> own_table(uint32_t index);
  [[nodiscard]] Task<int> read(uint64_t offset, uint64_t length, Parts parts);
  [[nodiscard]] Task<int> read_backing(uint64_t offset, uint64_t length, Parts parts);
  [[nodiscard]] Task<int> read_compressed(const Extent& extent, uint64_t offset, Parts parts);
  [[nodiscard]] Task<int> write(uint64_t offset, uint64_t length, Parts parts);
  [[nodiscard]] Task<int> write_new(uint64_t offset, uint64_t length, Parts parts, uint64_t& written);
  [[nodiscard]] Task<int> put(uint64_t offset, Parts parts, uint64_t length, const Run& run, bool old_is_zero);
  [[nodiscard]] Task<int> clear(uint64_t offset, uint64_t length, bool zeroes, bool unmap);
  [[nodiscard]] Task<int> clear_clusters(uint64_t offset, uint64_t clusters, bool zeroes, bool unmap);
  [[nodiscard]] Task<int> write_zeros(uint64_t offset, uint64_t length);
  [[nodiscard]] Task<int> write_tables(const std::vector<std::pair<uint32_t, L2Table>>& tables);
  [[nodiscard]] Task<int> write_l1(const std::set<uint32_t>& changed);
  [[nodiscard]] Task<int> release_settled();
  [[nodiscard]] Task<int> flush_file();
  void free_later(uint64_t entry);

  Header header_;
  const Options options_;
  Map map_;
  Refcounts refcounts_;
  std::set<uint32_t> l1_dirty_;
  std::vector<Freed> freed_;    // by changes that are not durable
  std::vector<Freed> waiting_;  // durably free, but somebody may still be there

  struct Home;
  struct HomeDelete {
    void operator()(Home* home) const;
  };
  std::unique_ptr<Home, HomeDelete> home_;
};

}  // namespace lodge::qcow2
