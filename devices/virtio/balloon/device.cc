#include "devices/virtio/balloon/device.h"

#include <algorithm>

#include "base/units.h"

namespace lodge {
namespace {

constexpr uint64_t kStatsVq = 1U << 1;
constexpr uint64_t kDeflateOnOom = 1U << 2;
constexpr uint64_t kReporting = 1U << 5;

struct Config {
  uint32_t wanted;
  uint32_t actual;
};

struct [[gnu::packed]] WireStat {
  uint16_t tag;
  uint64_t value;
};
static_assert(sizeof(WireStat) == 10);

}  // namespace

Result<std::unique_ptr<VirtioBalloon>> VirtioBalloon::create(Options options, const StateReader* saved) {
  if (options.stats_period.count() < 0 || options.stats_period > std::chrono::hours(24)) {
    return fail("balloon '{}': its statistics period must be at most a day", options.id);
  }
  std::unique_ptr<VirtioBalloon> self(new VirtioBalloon(std::move(options)));
  if (saved != nullptr) {
    const BalloonState state = TRY(saved->get<BalloonState>(self->options_.id));
    self->target_.store(state.target);
    self->actual_.store(state.actual);
    self->period_ms_.store(
        std::min<int64_t>(state.stats_period_ms, std::chrono::milliseconds(std::chrono::hours(24)).count()));
  }
  return self;
}

void VirtioBalloon::save(std::string_view id, StateWriter& out) const {
  out.put(id, BalloonState{static_cast<uint32_t>(target_.load()), static_cast<uint32_t>(actual_.load()),
                           static_cast<uint32_t>(period_ms_.load())});
}

uint64_t VirtioBalloon::offered_features() const {
  return kStatsVq | (options_.deflate_on_oom ? kDeflateOnOom : 0) | (options_.reporting ? kReporting : 0);
}

VirtioBalloon::Role VirtioBalloon::role_of(uint16_t queue) const {
  // The queues of features that are not negotiated do not exist, and the later ones move up.
  const uint64_t features = negotiated_.load(std::memory_order_relaxed);
  const bool stats = (features & kStatsVq) != 0;
  switch (queue) {
    case 0: return Role::inflate;
    case 1: return Role::deflate;
    case 2: return stats ? Role::stats : (features & kReporting) != 0 ? Role::reporting : Role::none;
    case 3: return stats && (features & kReporting) != 0 ? Role::reporting : Role::none;
    default: return Role::none;
  }
}

void VirtioBalloon::read_config(uint32_t offset, std::span<std::byte> to) {
  const Config config{static_cast<uint32_t>(target_.load()), static_cast<uint32_t>(actual_.load())};
  copy_config(bytes_of(config), offset, to);
}

void VirtioBalloon::write_config(uint32_t offset, std::span<const std::byte> from) {
  if (offset != offsetof(Config, actual) || from.size() != sizeof(uint32_t)) {
    return;
  }
  const auto pages = load_le<uint32_t>(from);
  if (actual_.exchange(pages) != pages && options_.on_change) {
    options_.on_change(pages * kPage);
  }
}

void VirtioBalloon::start_queue(Virtqueue& queue) {
  if (role_of(queue.index()) == Role::stats) {
    const Lock lock(mutex_);
    stats_loop_ = &queue.loop();
  }
}

void VirtioBalloon::kick(Virtqueue& queue) {
  switch (role_of(queue.index())) {
    case Role::inflate: inflate(queue); return;
    case Role::deflate:
      // The pages come back by themselves when the guest touches them.
      queue.process([](const Chain&) { return true; });
      return;
    case Role::stats: take_stats(queue); return;
    case Role::reporting: report(queue); return;
    case Role::none: return;
  }
}

void VirtioBalloon::stop_queue(Virtqueue& queue, Done done) {
  if (role_of(queue.index()) == Role::stats) {
    stats_timer_.reset();
    if (stats_chain_.active()) {
      stats_chain_.give_back();
    }
    const Lock lock(mutex_);
    stats_loop_ = nullptr;
  }
  done();
}

void VirtioBalloon::reset() {
  negotiated_.store(0);
  if (actual_.exchange(0) != 0 && options_.on_change) {
    options_.on_change(0);
  }
  const Lock lock(mutex_);
  stats_ = {};
}

void VirtioBalloon::inflate(Virtqueue& queue) {
  queue.process([&](Chain chain) {
    const size_t count = std::min<size_t>(chain.readable_bytes() / sizeof(uint32_t), kMaxPages);
    pages_.resize(count);
    const size_t bytes = chain.read(0, std::as_writable_bytes(std::span(pages_)));
    if (bytes != chain.readable_bytes()) {
      guest_warning(warnings_, options_.id, "an inflate request is cut or too long");
    }
    give_back_pages(queue.memory(), std::span(pages_).first(bytes / sizeof(uint32_t)));
    return true;
  });
}

// In as few calls as the addresses allow: drivers send single pages, mostly neighbours.
void VirtioBalloon::give_back_pages(const GuestMemory& memory, std::span<uint32_t> pages) {
  std::ranges::sort(pages);
  for (size_t i = 0; i < pages.size();) {
    size_t end = i + 1;
    while (end < pages.size() && pages[end] - pages[end - 1] <= 1) {  // neighbours, or the same page twice
      ++end;
    }
    discard(memory, pages[i] * kPage, (uint64_t{pages[end - 1]} - pages[i] + 1) * kPage);
    i = end;
  }
}

void VirtioBalloon::discard(const GuestMemory& memory, uint64_t at, uint64_t bytes) {
  // A run may leave RAM or cross regions: then page by page, so that the good ones still count.
  if (memory.discard(Gpa{at}, bytes)) {
    inflated_.fetch_add(bytes, std::memory_order_relaxed);
    return;
  }
  uint64_t bad = 0;
  for (const MemoryRegion& region : memory.regions()) {
    const uint64_t first = std::max(at, region.base.value);
    const uint64_t last = std::min(at + bytes, region.base.value + region.size);
    if (first < last && memory.discard(Gpa{first}, last - first)) {
      inflated_.fetch_add(last - first, std::memory_order_relaxed);
      bad += last - first;
    }
  }
  if (bad != bytes) {
    guest_warning(warnings_, options_.id, "pages at {:#x} given to the balloon are not RAM", at);
  }
}

void VirtioBalloon::report(Virtqueue& queue) {
  queue.process([&](const Chain& chain) {
    for (const ChainSegment& segment : chain.segments()) {
      const uint64_t first = align_up(segment.at, kPage);
      const uint64_t last = align_down(segment.at + segment.length, kPage);
      if (segment.writable && first < last && queue.memory().discard(Gpa{first}, last - first)) {
        reported_.fetch_add(last - first, std::memory_order_relaxed);
      }
    }
    return true;
  });
}

void VirtioBalloon::take_stats(Virtqueue& queue) {
  queue.process([&](Chain chain) {
    std::array<WireStat, 32> wire{};
    const size_t bytes = chain.read(0, std::as_writable_bytes(std::span(wire)));
    {
      const Lock lock(mutex_);
      stats_ = {};
      stats_.updated = std::chrono::system_clock::now();
      for (size_t i = 0; i < bytes / sizeof(WireStat); ++i) {
        if (wire[i].tag < BalloonStats::kTags) {
          stats_.values[wire[i].tag] = wire[i].value;
        }
      }
    }
    if (stats_chain_.active()) {
      guest_warning(warnings_, options_.id, "more than one statistics buffer");
      return true;
    }
    stats_chain_ = std::move(chain);
    return true;
  });
  arm_stats();
}

void VirtioBalloon::arm_stats() {
  const int64_t period = period_ms_.load();
  if (!stats_chain_.active() || period == 0) {
    stats_timer_.reset();
    return;
  }
  stats_timer_ = stats_chain_.queue().loop().after(std::chrono::milliseconds(period), [this] {
    stats_timer_.reset();
    stats_chain_.finish();  // asks for news
  });
}

void VirtioBalloon::set_size(uint64_t bytes) {
  target_.store(std::min<uint64_t>(bytes / kPage, UINT32_MAX));
  if (transport_ != nullptr) {
    transport_->notify_config();
  }
}

void VirtioBalloon::set_stats_period(std::chrono::milliseconds period) {
  period_ms_.store(std::clamp<int64_t>(period.count(), 0, std::chrono::milliseconds(std::chrono::hours(24)).count()));
  const Lock lock(mutex_);
  if (stats_loop_ != nullptr) {
    stats_loop_->post([this, alive = std::weak_ptr(alive_)] {
      if (!alive.expired()) {
        arm_stats();
      }
    });
  }
}

BalloonStats VirtioBalloon::stats() const {
  const Lock lock(mutex_);
  return stats_;
}

std::vector<Counter> VirtioBalloon::counters() const {
  return {{"inflated-bytes", inflated_.load(std::memory_order_relaxed)},
          {"reported-bytes", reported_.load(std::memory_order_relaxed)},
          {"guest-mistakes", warnings_.count()}};
}

}  // namespace lodge
