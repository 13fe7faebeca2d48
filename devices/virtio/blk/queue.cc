#include "devices/virtio/blk/queue.h"

#include <linux/virtio_blk.h>

#include <algorithm>
#include <cassert>

#include "base/units.h"

namespace lodge {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint64_t kHeader = sizeof(virtio_blk_outhdr);

struct Header {
  uint32_t type;
  uint32_t priority;
  uint64_t sector;
};
static_assert(sizeof(Header) == kHeader);

struct WireRange {
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};
static_assert(sizeof(WireRange) == sizeof(virtio_blk_discard_write_zeroes));

}  // namespace

BlkQueue::BlkQueue(VirtioBlk& device, uint16_t size) : device_(device) {
  for (uint16_t i = 0; i < size; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->owner = this;
    slot->BlockRequest::done = [](BlockRequest& request, int error) {
      auto& self = static_cast<Slot&>(request);
      self.owner->done(self, error);
    };
    free_.push_back(slot.get());
    slots_.push_back(std::move(slot));
  }
  parked_.reserve(size);
}

BlkQueue::~BlkQueue() { assert(in_flight_ == 0); }

Result<void> BlkQueue::start(Virtqueue& queue) {
  backend_ = TRY(device_.options_.backend->open_queue(queue.loop()));
  halted_ = false;
  running_ = true;
  return {};
}

void BlkQueue::kick(Virtqueue& queue) {
  if (!running_ || halted_) {
    return;
  }
  queue.process([this](Chain chain) { return take(std::move(chain)); });
}

bool BlkQueue::take(Chain chain) {
  if (free_.empty()) {  // the ring bounds what is out; not reachable
    chain.give_back();
    return false;
  }
  Slot& slot = *free_.back();
  free_.pop_back();
  slot.chain = std::move(chain);
  slot.sequence = next_sequence_++;
  slot.began = std::chrono::steady_clock::now();
  slot.total_bytes = 0;
  slot.length = 0;
  slot.kind = BlockRequest::Kind::flush;
  slot.iov.clear();
  Header header{};
  if (slot.chain.writable_bytes() < 1) {
    guest_warning(device_.warnings_, device_.options_.id, "a request has no room for its status");
    free_.push_back(&slot);
    slot.chain.finish();
  } else if (slot.chain.read(0, writable_bytes_of(header)) != kHeader) {
    refuse(slot, "a request is shorter than its header");
  } else {
    begin(slot, header.type & ~VIRTIO_BLK_T_BARRIER, header.sector);
  }
  return !halted_;
}

void BlkQueue::begin(Slot& slot, uint32_t type, uint64_t sector) {
  switch (type) {
    case VIRTIO_BLK_T_IN: begin_transfer(slot, BlockRequest::Kind::read, sector); return;
    case VIRTIO_BLK_T_OUT: begin_transfer(slot, BlockRequest::Kind::write, sector); return;
    case VIRTIO_BLK_T_FLUSH:
      slot.kind = BlockRequest::Kind::flush;
      submit(slot);
      return;
    case VIRTIO_BLK_T_GET_ID: answer_id(slot); return;
    case VIRTIO_BLK_T_DISCARD:
      device_.info_.can_discard ? begin_ranges(slot, BlockRequest::Kind::discard) : end(slot, VIRTIO_BLK_S_UNSUPP);
      return;
    case VIRTIO_BLK_T_WRITE_ZEROES:
      device_.info_.can_write_zeroes ? begin_ranges(slot, BlockRequest::Kind::write_zeroes) : end(slot, VIRTIO_BLK_S_UNSUPP);
      return;
    default: end(slot, VIRTIO_BLK_S_UNSUPP); return;
  }
}

void BlkQueue::begin_transfer(Slot& slot, BlockRequest::Kind kind, uint64_t sector) {
  const bool reading = kind == BlockRequest::Kind::read;
  const uint64_t length = reading ? slot.chain.writable_bytes() - 1 : slot.chain.readable_bytes() - kHeader;
  const auto offset = checked_mul(sector, kSector);
  slot.kind = kind;
  if (!reading && device_.info_.read_only) {
    end(slot, VIRTIO_BLK_S_IOERR);
    return;
  }
  if (!offset || !range_fits(*offset, length, device_.capacity_.load(std::memory_order_relaxed))) {
    refuse(slot, "a request goes past the end of the disk");
    return;
  }
  if (((*offset | length) & (device_.info_.logical_block - 1)) != 0) {
    refuse(slot, "a request is not a multiple of the block size");
    return;
  }
  slot.offset = *offset;
  slot.length = slot.total_bytes = length;
  if (length == 0) {
    end(slot, VIRTIO_BLK_S_OK);
    return;
  }
  reading ? slot.chain.writable_iov(0, length, slot.iov) : slot.chain.readable_iov(kHeader, length, slot.iov);
  submit(slot);
}

void BlkQueue::begin_ranges(Slot& slot, BlockRequest::Kind kind) {
  const uint64_t bytes = slot.chain.readable_bytes() - kHeader;
  slot.kind = kind;
  if (bytes == 0 || bytes % sizeof(WireRange) != 0 || bytes / sizeof(WireRange) > kMaxBlkSegments) {
    refuse(slot, "a discard or write-zeroes request has a bad number of ranges");
    return;
  }
  std::array<WireRange, kMaxBlkSegments> wire{};
  slot.range_count = static_cast<uint32_t>(bytes / sizeof(WireRange));
  if (slot.chain.read(kHeader, std::as_writable_bytes(std::span(wire)).first(bytes)) != bytes) {
    refuse(slot, "a discard or write-zeroes request could not be read");
    return;
  }
  const bool zeroes = kind == BlockRequest::Kind::write_zeroes;
  for (uint32_t i = 0; i < slot.range_count; ++i) {
    const uint32_t known = zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
    if ((wire[i].flags & ~known) != 0) {
      end(slot, VIRTIO_BLK_S_UNSUPP);
      return;
    }
    const auto offset = checked_mul(wire[i].sector, kSector);
    const uint64_t length = wire[i].sectors * kSector;
    if (!offset || length > kGiB || !range_fits(*offset, length, device_.capacity_.load(std::memory_order_relaxed)) ||
        ((*offset | length) & (device_.info_.logical_block - 1)) != 0) {
      refuse(slot, "a discard or write-zeroes range is too long, unaligned or past the end of the disk");
      return;
    }
    slot.ranges[i] = {*offset, length, (wire[i].flags & known) != 0};
    slot.total_bytes += length;
  }
  slot.next_range = 0;
  submit_next_range(slot);
}

void BlkQueue::submit_next_range(Slot& slot) {
  const Range& range = slot.ranges[slot.next_range++];
  slot.offset = range.offset;
  slot.length = range.length;
  slot.may_unmap = range.unmap;
  submit(slot);
}

void BlkQueue::answer_id(Slot& slot) {
  std::array<char, VIRTIO_BLK_ID_BYTES> id{};
  std::copy_n(device_.options_.serial.begin(), std::min(device_.options_.serial.size(), id.size()), id.begin());
  const uint64_t room = std::min<uint64_t>(slot.chain.writable_bytes() - 1, id.size());
  slot.chain.write(0, std::as_bytes(std::span(id)).first(room));
  end(slot, VIRTIO_BLK_S_OK);
}

void BlkQueue::submit(Slot& slot) {
  slot.durable = !device_.write_cache_.load(std::memory_order_relaxed);
  ++in_flight_;
  backend_->submit(slot);
}

void BlkQueue::done(Slot& slot, int error) {
  --in_flight_;
  using Kind = BlockRequest::Kind;
  const bool ranged = slot.kind == Kind::discard || slot.kind == Kind::write_zeroes;
  if (error != 0) {
    failed(slot, error);
  } else if (ranged && slot.next_range < slot.range_count) {
    submit_next_range(slot);
  } else {
    counters_.count(slot.kind, slot.total_bytes, false, std::chrono::steady_clock::now() - slot.began);
    end(slot, VIRTIO_BLK_S_OK);
  }
  if (on_stopped_ && in_flight_ == 0) {
    finish_stop();
  }
}

void BlkQueue::failed(Slot& slot, int error) {
  const ErrorAction action = device_.options_.errors.choose(slot.kind, error);
  counters_.count(slot.kind, 0, true, std::chrono::steady_clock::now() - slot.began);
  const BlockErrorEvent event{device_.options_.id, slot.kind, error, action};
  if (action == ErrorAction::stop) {
    halted_ = true;
    parked_.push_back(&slot);
  } else {
    end(slot, action == ErrorAction::ignore ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
  }
  if (device_.options_.on_io_error) {
    device_.options_.on_io_error(event);
  }
}

void BlkQueue::refuse(Slot& slot, std::string_view why) {
  guest_warning(device_.warnings_, device_.options_.id, "{}", why);
  end(slot, VIRTIO_BLK_S_IOERR);
}

void BlkQueue::end(Slot& slot, uint8_t status) {
  const uint64_t room = slot.chain.writable_bytes();
  if (slot.kind == BlockRequest::Kind::read && room > 1) {
    slot.chain.mark_written(0, room - 1);
  }
  slot.chain.write(room - 1, bytes_of(status));
  slot.chain.set_written(room);
  slot.chain.finish();
  free_.push_back(&slot);
}

void BlkQueue::stop(VirtioDevice::Done done) {
  running_ = false;
  on_stopped_ = std::move(done);
  if (in_flight_ == 0) {
    finish_stop();
  }
}

void BlkQueue::finish_stop() {
  // In the order of arrival, so that the retry keeps it.
  std::ranges::sort(parked_, {}, &Slot::sequence);
  for (Slot* slot : parked_) {
    slot->chain.give_back();
    free_.push_back(slot);
  }
  parked_.clear();
  backend_.reset();
  std::exchange(on_stopped_, nullptr)();
}

}  // namespace lodge
