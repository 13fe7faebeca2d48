#include "devices/virtio/blk/device.h"

#include <linux/virtio_blk.h>

#include <algorithm>
#include <bit>
#include <cstddef>

#include "base/units.h"
#include "devices/virtio/blk/queue.h"

namespace lodge {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint32_t kMaxRangeSectors = static_cast<uint32_t>(kGiB / kSector);

constexpr uint64_t bit(unsigned number) { return uint64_t{1} << number; }

uint64_t features_of(const BlockInfo& info, uint16_t queues) {
  uint64_t features = bit(VIRTIO_BLK_F_SEG_MAX) | bit(VIRTIO_BLK_F_BLK_SIZE) | bit(VIRTIO_BLK_F_TOPOLOGY);
  features |= info.read_only ? bit(VIRTIO_BLK_F_RO) : bit(VIRTIO_BLK_F_FLUSH) | bit(VIRTIO_BLK_F_CONFIG_WCE);
  features |= queues > 1 ? bit(VIRTIO_BLK_F_MQ) : 0;
  features |= info.can_discard ? bit(VIRTIO_BLK_F_DISCARD) : 0;
  features |= info.can_write_zeroes ? bit(VIRTIO_BLK_F_WRITE_ZEROES) : 0;
  return features;
}

}  // namespace

VirtioBlk::VirtioBlk(Options options) : options_(std::move(options)), info_(options_.backend->info()) {
  capacity_.store(info_.size);
  if (options_.logical_block != 0) {
    info_.logical_block = options_.logical_block;
  }
  info_.physical_block =
      std::max(options_.physical_block != 0 ? options_.physical_block : info_.physical_block, info_.logical_block);
  features_ = features_of(info_, options_.queues);
  for (uint16_t i = 0; i < options_.queues; ++i) {
    queue_sizes_[i] = options_.queue_size;
    queues_.push_back(std::make_unique<BlkQueue>(*this, options_.queue_size));
  }
  cache_register_.store(info_.write_cache);
}

VirtioBlk::~VirtioBlk() = default;

Result<std::unique_ptr<VirtioBlk>> VirtioBlk::create(Options options, const StateReader* saved) {
  if (options.backend == nullptr) {
    return fail("disk '{}' has no image", options.id);
  }
  if (options.queues == 0 || options.queues > kMaxQueues) {
    return fail("disk '{}': {} queues asked for; choose 1 to 256", options.id, options.queues);
  }
  if (options.queue_size < 4 || options.queue_size > 1024 || !std::has_single_bit(options.queue_size)) {
    return fail("disk '{}': queue size {} is not a power of two from 4 to 1024", options.id, options.queue_size);
  }
  std::unique_ptr<VirtioBlk> self(new VirtioBlk(std::move(options)));
  TRY_VOID(self->check_options());
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

Result<void> VirtioBlk::check_options() const {
  const uint32_t logical = info_.logical_block;
  const uint32_t physical = info_.physical_block;
  if (!std::has_single_bit(logical) || !std::has_single_bit(physical) || logical < kSector || physical > 32 * kKiB) {
    return fail("disk '{}': block sizes {} and {} must be powers of two from 512 to 32768", options_.id, logical, physical);
  }
  if (logical < options_.backend->info().logical_block) {
    return fail("disk '{}': block size {} is below the storage's {}; choose that, or a cache mode with the page cache",
                options_.id, logical, options_.backend->info().logical_block);
  }
  return {};
}

Result<void> VirtioBlk::load(const StateReader& saved) {
  const BlkState state = TRY(saved.get<BlkState>(options_.id));
  if (state.capacity > capacity_.load()) {
    return fail("disk '{}' has {} bytes, but {} when its state was saved; give the image that belongs to the state",
                options_.id, capacity_.load(), state.capacity);
  }
  cache_register_.store(state.write_cache);
  return {};
}

void VirtioBlk::save(std::string_view id, StateWriter& out) const {
  BlkState state;
  state.capacity = capacity_.load();
  state.write_cache = cache_register_.load();
  state.write_cache_set = state.write_cache != info_.write_cache;
  out.put(id, state);
}

void VirtioBlk::read_config(uint32_t offset, std::span<std::byte> to) {
  virtio_blk_config config{};
  config.capacity = capacity_.load(std::memory_order_relaxed) / kSector;
  config.seg_max = options_.queue_size - 2U;
  config.blk_size = info_.logical_block;
  config.physical_block_exp = static_cast<uint8_t>(std::countr_zero(info_.physical_block / info_.logical_block));
  config.min_io_size = static_cast<uint16_t>(info_.physical_block / info_.logical_block);
  config.opt_io_size = info_.optimal_io / info_.logical_block;
  config.wce = cache_register_.load(std::memory_order_relaxed) ? 1 : 0;
  config.num_queues = options_.queues;
  if (info_.can_discard) {
    config.max_discard_sectors = kMaxRangeSectors;
    config.max_discard_seg = kMaxBlkSegments;
    config.discard_sector_alignment = static_cast<uint32_t>(info_.logical_block / kSector);
  }
  if (info_.can_write_zeroes) {
    config.max_write_zeroes_sectors = kMaxRangeSectors;
    config.max_write_zeroes_seg = kMaxBlkSegments;
    config.write_zeroes_may_unmap = info_.can_discard ? 1 : 0;
  }
  copy_config(std::as_bytes(std::span(&config, 1)), offset, to);
}

void VirtioBlk::write_config(uint32_t offset, std::span<const std::byte> from) {
  constexpr uint32_t kCacheByte = offsetof(virtio_blk_config, wce);
  if ((negotiated_.load() & bit(VIRTIO_BLK_F_CONFIG_WCE)) != 0 && offset == kCacheByte && from.size() == 1) {
    cache_register_.store((from[0] & std::byte{1}) != std::byte{0});
    update_write_cache();
  }
}

void VirtioBlk::update_write_cache() {
  const uint64_t features = negotiated_.load();
  if ((features & bit(VIRTIO_BLK_F_CONFIG_WCE)) != 0) {
    write_cache_.store(cache_register_.load());
  } else {
    write_cache_.store((features & bit(VIRTIO_BLK_F_FLUSH)) != 0);  // a driver that cannot flush needs durable writes
  }
}

void VirtioBlk::activate(const Activation& activation) {
  negotiated_.store(activation.features);
  update_write_cache();
}

void VirtioBlk::start_queue(Virtqueue& queue) {
  if (auto started = queues_.at(queue.index())->start(queue); !started) {
    log_error("block", "{}: {}; the disk does not work", queue.name(), started.error().message);
    transport_->set_needs_reset();
  }
}

void VirtioBlk::kick(Virtqueue& queue) { queues_.at(queue.index())->kick(queue); }

void VirtioBlk::stop_queue(Virtqueue& queue, Done done) { queues_.at(queue.index())->stop(std::move(done)); }

void VirtioBlk::reset() {
  negotiated_.store(0);
  cache_register_.store(info_.write_cache);
  update_write_cache();
}

Result<void> VirtioBlk::resize(uint64_t size) {
  TRY_VOID(options_.backend->resize(size));
  capacity_.store(options_.backend->info().size);
  if (transport_ != nullptr) {
    transport_->notify_config();
  }
  return {};
}

std::vector<Counter> VirtioBlk::counters() const {
  std::vector<const BlockCounters*> queues;
  queues.reserve(queues_.size());
  for (const auto& queue : queues_) {
    queues.push_back(&queue->counters());
  }
  return counter_list(queues, warnings_.count());
}

}  // namespace lodge
