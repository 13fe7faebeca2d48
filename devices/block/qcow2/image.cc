#include "devices/block/qcow2/image.h"

#include <algorithm>
#include <array>

#include "base/units.h"
#include "devices/block/iov.h"
#include "devices/block/qcow2/decompress.h"
#include "devices/block/qcow2/home.h"

namespace lodge::qcow2 {
namespace {

using Kind = BlockRequest::Kind;

constexpr uint64_t kMetadataRoom = 32 * kMiB;  // of L2 tables: enough for 256 GiB with the usual clusters
constexpr size_t kLeastTables = 16;
constexpr uint64_t kZeroPiece = 64 * kKiB;
alignas(4096) constinit std::array<std::byte, kZeroPiece> zero_piece{};  // written from only

}  // namespace

void Image::HomeDelete::operator()(Home* home) const { delete home; }

Image::Image(Header header, std::vector<uint64_t> l1, std::vector<uint64_t> refcount_table, uint64_t blank_from,
             Options options)
    : header_(std::move(header)),
      options_(options),
      map_(header_, std::move(l1), std::max<size_t>(kMetadataRoom / header_.cluster_size(), kLeastTables)),
      refcounts_(header_, std::move(refcount_table), blank_from) {}

void Image::move_in(EventLoop& loop, BlockQueue& file, BlockQueue* backing) {
  home_.reset(new Home(loop, file, backing));
  refcounts_.use(file);
}

void Image::move_out() { home_.reset(); }

Task<int> Image::run(BlockRequest& request) {
  int error = 0;
  switch (request.kind) {
    case Kind::read: co_return co_await read(request.offset, request.length, request.iov);
    case Kind::flush: co_return co_await commit();
    case Kind::write: error = co_await write(request.offset, request.length, request.iov); break;
    case Kind::discard: error = options_.unmap ? co_await clear(request.offset, request.length, false, true) : 0; break;
    case Kind::write_zeroes:
      error = co_await clear(request.offset, request.length, true, request.may_unmap && options_.unmap);
      break;
  }
  if (error == 0 && request.durable) {
    error = co_await commit();
  }
  co_return error;
}

Task<int> Image::flush_file() {
  BlockIo flush(home_->file, Kind::flush, 0, 0);
  co_return co_await flush;
}

// The table that is there in the file, with the metadata lock held.
Task<int> Image::load(uint32_t index) {
  const uint64_t offset = map_.l1(index) & kOffsetMask;
  if (map_.loaded(index) || offset == 0) {
    co_return 0;
  }
  if (offset % cluster() != 0) {
    co_return EIO;
  }
  L2Table table;
  table.offset = offset;
  table.entries.resize(cluster() / sizeof(uint64_t));
  BlockIo io(home_->file, Kind::read, offset, table.entries.data(), cluster());
  if (const int error = co_await io; error != 0) {
    co_return error;
  }
  std::ranges::transform(table.entries, table.entries.begin(), swapped);
  map_.insert(index, std::move(table));
  co_return 0;
}

Task<int> Image::load_locked(uint64_t offset) {
  const auto lock = co_await home_->metadata.lock();
  co_return co_await load(index_of(offset));
}

// A table of our own, loaded, with the metadata lock held: there may be none, or one that a snapshot has, too.
Task<int> Image::own_table(uint32_t index) {
  if (const int error = co_await load(index); error != 0) {
    co_return error;
  }
  const uint64_t entry = map_.l1(index);
  if ((entry & kOffsetMask) != 0 && (entry & kCopied) != 0) {
    co_return 0;
  }
  Run run;
  if (const int error = co_await refcounts_.allocate(1, run); error != 0) {
    co_return error;
  }
  const uint64_t offset = run.first << header_.cluster_bits;
  if ((entry & kOffsetMask) == 0) {
    map_.insert(index, {.entries = std::vector<uint64_t>(cluster() / sizeof(uint64_t)), .offset = offset, .dirty = true});
  } else {
    map_.move(index, offset);
    free_later(entry & kOffsetMask);
  }
  map_.set_l1(index, offset | kCopied);
  l1_dirty_.insert(index);
  co_return 0;
}

void Image::free_later(uint64_t entry) {
  if ((entry & kCompressed) != 0) {
    const CompressedPlace place = compressed_place(entry, header_.cluster_bits);
    const uint64_t first = place.offset >> header_.cluster_bits;
    freed_.push_back({first, ((place.offset + place.length - 1) >> header_.cluster_bits) - first + 1, 0});
  } else if ((entry & kOffsetMask) != 0) {
    freed_.push_back({(entry & kOffsetMask) >> header_.cluster_bits, 1, 0});
  }
}

Task<int> Image::read(uint64_t offset, uint64_t length, Parts parts) {
  std::vector<iovec> part;
  for (uint64_t at = 0; at < length;) {
    const Extent extent = map_.lookup(offset + at, length - at);
    const uint64_t covered = slice_iov(parts, at, extent.length, part);
    int error = 0;
    switch (extent.kind) {
      case Extent::Kind::unknown: error = co_await load_locked(offset + at); break;
      case Extent::Kind::unallocated: error = co_await read_backing(offset + at, covered, part); break;
      case Extent::Kind::zero: zero_iov(part, 0, covered); break;
      case Extent::Kind::data: {
        BlockIo io(home_->file, Kind::read, extent.host, covered);
        io.iov = part;
        error = co_await io;
        break;
      }
      case Extent::Kind::compressed: error = co_await read_compressed(extent, offset + at, part); break;
      case Extent::Kind::damaged: error = EIO; break;
    }
    if (error != 0) {
      co_return error;
    }
    at += extent.kind == Extent::Kind::unknown ? 0 : covered;
  }
  co_return 0;
}

Task<int> Image::read_backing(uint64_t offset, uint64_t length, Parts parts) {
  const uint64_t there = offset < options_.backing_size ? std::min(length, options_.backing_size - offset) : 0;
  if (there != 0 && home_->backing != nullptr) {
    BlockIo io(*home_->backing, Kind::read, offset, there);
    slice_iov(parts, 0, there, io.iov);
    if (const int error = co_await io; error != 0) {
      co_return error;
    }
  }
  zero_iov(parts, there, length - there);
  co_return 0;
}

Task<int> Image::read_compressed(const Extent& extent, uint64_t offset, Parts parts) {
  const CompressedPlace place = compressed_place(extent.entry, header_.cluster_bits);
  // In whole units, as direct I/O wants it; behind the file's end there is nothing, and nothing is needed.
  const uint64_t first = align_down(place.offset, kPageSize);
  std::vector<std::byte> packed(align_up(place.offset + place.length, kPageSize) - first);
  BlockIo io(home_->file, Kind::read, first, packed.data(), packed.size());
  if (const int error = co_await io; error != 0) {
    co_return error;
  }
  std::vector<std::byte> plain(cluster());
  if (!decompress(header_.compression, std::span(packed).subspan(place.offset - first, place.length), plain)) {
    co_return EIO;
  }
  copy_to_iov(parts, plain.data() + offset % cluster());
  co_return 0;
}

Task<int> Image::write(uint64_t offset, uint64_t length, Parts parts) {
  const Claiming wanted{*home_, offset >> header_.cluster_bits, (offset + length - 1) >> header_.cluster_bits};
  while (!wanted.free()) {
    co_await wanted;
  }
  const Claim claim(wanted);
  std::vector<iovec> part;
  for (uint64_t at = 0; at < length;) {
    const Extent extent = map_.lookup(offset + at, length - at);
    if (extent.kind == Extent::Kind::unknown) {
      if (const int error = co_await load_locked(offset + at); error != 0) {
        co_return error;
      }
      continue;
    }
    if (extent.kind == Extent::Kind::damaged) {
      co_return EIO;
    }
    uint64_t done = slice_iov(parts, at, extent.length, part);
    int error = 0;
    if (extent.kind == Extent::Kind::data && extent.sole) {
      BlockIo io(home_->file, Kind::write, extent.host, done);
      io.iov = part;
      error = co_await io;
    } else {
      error = co_await write_new(offset + at, done, part, done);
    }
    if (error != 0) {
      co_return error;
    }
    at += done;
  }
  co_return map_.dirty() > map_.room() ? co_await commit() : 0;  // or memory would fill
}

// The bytes at `offset`, of one kind of extent that cannot be written in place, into clusters of their own. `written`: how
// many of them.
Task<int> Image::write_new(uint64_t offset, uint64_t length, Parts parts, uint64_t& written) {
  const uint64_t begin = align_down(offset, cluster());
  const uint64_t clusters = (offset + length - begin + cluster() - 1) >> header_.cluster_bits;
  const uint32_t index = index_of(offset);
  Run run;
  bool was_zero = false;
  {
    const auto lock = co_await home_->metadata.lock();
    if (const int error = co_await own_table(index); error != 0) {
      co_return error;
    }
    const uint64_t old = map_.entry(index, slot_of(offset));
    const Extent extent = map_.lookup(offset, 1);
    was_zero =
        extent.kind == Extent::Kind::zero || (extent.kind == Extent::Kind::unallocated && begin >= options_.backing_size);
    if (extent.kind == Extent::Kind::zero && extent.sole) {
      run = {(old & kOffsetMask) >> header_.cluster_bits, 1, false};
    } else if (const int error = co_await refcounts_.allocate(clusters, run); error != 0) {
      co_return error;
    }
  }
  written = std::min(length, begin + (run.count << header_.cluster_bits) - offset);
  if (const int error = co_await put(offset, parts, written, run, was_zero); error != 0) {
    freed_.push_back({run.first, run.count, 0});  // nothing refers to them
    co_return error;
  }
  const auto lock = co_await home_->metadata.lock();
  if (const int error = co_await load(index); error != 0) {
    co_return error;
  }
  for (uint64_t i = 0; i < run.count; ++i) {
    const uint32_t slot = slot_of(begin) + static_cast<uint32_t>(i);
    const uint64_t old = map_.entry(index, slot);
    const uint64_t host = (run.first + i) << header_.cluster_bits;
    if ((old & kOffsetMask) != host || (old & kCompressed) != 0) {
      free_later(old);
    }
    map_.set(index, slot, host | kCopied);
  }
  co_return 0;
}

// Writes what the guest gave, and around it what was there before, so that whole clusters are as the guest sees them.
Task<int> Image::put(uint64_t offset, Parts parts, uint64_t length, const Run& run, bool old_is_zero) {
  const uint64_t head = offset % cluster();
  const uint64_t host = run.first << header_.cluster_bits;
  const uint64_t whole = run.count << header_.cluster_bits;
  const uint64_t tail = whole - head - length;
  BlockIo io(home_->file, Kind::write, host, whole);
  if ((head == 0 && tail == 0) || (run.blank && old_is_zero)) {
    io.offset += head;
    io.length = length;
    slice_iov(parts, 0, length, io.iov);
    co_return co_await io;
  }
  std::vector<std::byte> before(head);
  std::vector<std::byte> after(tail);
  const uint64_t end = std::min(offset + length + tail, header_.size);  // the last cluster may reach beyond the image
  if (!old_is_zero && head != 0) {
    const iovec part{before.data(), head};
    if (const int error = co_await read(offset - head, head, {&part, 1}); error != 0) {
      co_return error;
    }
  }
  if (!old_is_zero && offset + length < end) {
    const iovec part{after.data(), end - offset - length};
    if (const int error = co_await read(offset + length, part.iov_len, {&part, 1}); error != 0) {
      co_return error;
    }
  }
  std::vector<iovec> middle;
  slice_iov(parts, 0, length, middle);
  if (head != 0) {
    io.iov.push_back({before.data(), head});
  }
  io.iov.insert(io.iov.end(), middle.begin(), middle.end());
  if (tail != 0) {
    io.iov.push_back({after.data(), tail});
  }
  co_return co_await io;
}

Task<int> Image::write_zeros(uint64_t offset, uint64_t length) {
  std::vector<iovec> parts;
  for (uint64_t at = 0; at < length; at += kZeroPiece) {
    parts.push_back({zero_piece.data(), std::min(kZeroPiece, length - at)});
  }
  co_return co_await write(offset, length, parts);
}

// Zeros, or for a discard nothing in particular: whole clusters by their entries, the rest by writing.
Task<int> Image::clear(uint64_t offset, uint64_t length, bool zeroes, bool unmap) {
  const uint64_t end = offset + length;
  const uint64_t first = std::min(align_up(offset, cluster()), end);
  // The image's end counts as that of a cluster.
  const uint64_t last = std::max(end == header_.size ? align_up(end, cluster()) : align_down(end, cluster()), first);
  if (zeroes && offset < first) {
    if (const int error = co_await write_zeros(offset, first - offset); error != 0) {
      co_return error;
    }
  }
  for (uint64_t at = first; at < last;) {
    const uint64_t here = std::min(last - at, header_.l2_reach() - at % header_.l2_reach());
    if (const int error = co_await clear_clusters(at, here >> header_.cluster_bits, zeroes, unmap); error != 0) {
      co_return error;
    }
    at += here;
  }
  if (zeroes && last < end) {
    co_return co_await write_zeros(last, end - last);
  }
  co_return 0;
}

// Clusters of one L2 table.
Task<int> Image::clear_clusters(uint64_t offset, uint64_t clusters, bool zeroes, bool unmap) {
  const Claiming wanted{*home_, offset >> header_.cluster_bits, (offset >> header_.cluster_bits) + clusters - 1};
  while (!wanted.free()) {
    co_await wanted;
  }
  const Claim claim(wanted);
  const uint32_t index = index_of(offset);
  const bool behind = options_.has_backing && offset < options_.backing_size;
  std::vector<uint64_t> by_writing;  // slots
  {
    const auto lock = co_await home_->metadata.lock();
    if ((map_.l1(index) & kOffsetMask) == 0 && (!behind || !zeroes)) {
      co_return 0;
    }
    if (const int error = co_await own_table(index); error != 0) {
      co_return error;
    }
    for (uint64_t i = 0; i < clusters; ++i) {
      const uint32_t slot = slot_of(offset) + static_cast<uint32_t>(i);
      const uint64_t old = map_.entry(index, slot);
      const bool has_host = (old & kCompressed) != 0 || (old & kOffsetMask) != 0;
      if (header_.version < 3 && (behind || !unmap)) {
        if (zeroes && (has_host || behind)) {
          by_writing.push_back(slot);
        }
        continue;
      }
      if (!has_host && (!behind || !zeroes)) {
        continue;
      }
      const bool keep = !unmap && (old & kCompressed) == 0 && (old & kCopied) != 0;
      const uint64_t fresh = keep ? old | kZero : behind ? kZero : 0;
      if (fresh != old) {
        if (!keep) {
          free_later(old);
        }
        map_.set(index, slot, fresh);
      }
    }
  }
  for (const uint64_t slot : by_writing) {
    const uint64_t at = align_down(offset, header_.l2_reach()) + (slot << header_.cluster_bits);
    std::vector<iovec> parts;
    const uint64_t size = std::min(cluster(), header_.size - at);
    for (uint64_t done = 0; done < size; done += kZeroPiece) {
      parts.push_back({zero_piece.data(), std::min(kZeroPiece, size - done)});
    }
    const Extent extent = map_.lookup(at, size);
    int error = 0;
    if (extent.kind == Extent::Kind::data && extent.sole) {
      BlockIo io(home_->file, Kind::write, extent.host, size);
      io.iov = parts;
      error = co_await io;
    } else {
      uint64_t written = 0;
      error = co_await write_new(at, size, parts, written);
    }
    if (error != 0) {
      co_return error;
    }
  }
  co_return 0;
}

}  // namespace lodge::qcow2
