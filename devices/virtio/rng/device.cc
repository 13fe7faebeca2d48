#include "devices/virtio/rng/device.h"

#include <sys/random.h>

#include <algorithm>

namespace lodge {

Result<std::unique_ptr<VirtioRng>> VirtioRng::create(Options options, const StateReader* saved) {
  if (options.max_bytes != 0 && (options.period.count() <= 0 || options.period > std::chrono::hours(24))) {
    return fail("entropy source '{}': its period must be between 1 millisecond and 1 day", options.id);
  }
  std::unique_ptr<VirtioRng> self(new VirtioRng(std::move(options)));
  if (saved != nullptr) {
    const RngState state = TRY(saved->get<RngState>(self->options_.id));
    self->budget_ = std::min(state.budget, self->options_.max_bytes);  // the limit may have been changed meanwhile
  }
  return self;
}

void VirtioRng::save(std::string_view id, StateWriter& out) const { out.put(id, RngState{budget_}); }

void VirtioRng::start_queue(Virtqueue& queue) { queue_ = &queue; }

void VirtioRng::kick(Virtqueue& /*queue*/) {
  if (queue_ != nullptr && !again_.active()) {
    pump();
  }
}

void VirtioRng::pump_after(std::chrono::nanoseconds delay) {
  again_ = queue_->loop().after(delay, [this] {
    again_.reset();
    pump();
  });
}

void VirtioRng::pump() {
  const bool limited = options_.max_bytes != 0;
  if (limited && !refill_.active()) {
    refill_ = queue_->loop().after(options_.period, [this] {
      refill_.reset();
      budget_ = options_.max_bytes;
      if (!again_.active()) {
        pump();
      }
    });
  }
  uint64_t given = 0;
  bool more = false;
  queue_->process([&](Chain chain) {
    if (limited && budget_ == 0) {
      chain.give_back();  // until the period ends
      return false;
    }
    const uint64_t limit = std::min(kMaxRequest, limited ? budget_ : kMaxRequest);
    const uint64_t bytes = fill(std::move(chain), limit);
    budget_ -= limited ? bytes : 0;
    given += bytes + 64;  // empty requests count too
    more = given >= kPerTurn;
    return !more;
  });
  if (more) {
    pump_after(std::chrono::nanoseconds(0));
  } else if (limited && budget_ == options_.max_bytes) {
    refill_.reset();  // idle: no timer
  }
}

uint64_t VirtioRng::fill(Chain chain, uint64_t limit) {
  iov_.clear();
  chain.writable_iov(0, limit, iov_);
  uint64_t done = 0;
  for (const iovec& part : iov_) {
    size_t at = 0;
    while (at < part.iov_len) {
      const ssize_t n = ::getrandom(static_cast<std::byte*>(part.iov_base) + at, part.iov_len - at, 0);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n <= 0) {
        break;
      }
      at += static_cast<size_t>(n);
    }
    done += at;
    if (at < part.iov_len) {
      break;
    }
  }
  chain.mark_written(0, done);
  chain.set_written(done);
  requests_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(done, std::memory_order_relaxed);
  return done;
}

void VirtioRng::stop_queue(Virtqueue& /*queue*/, Done done) {
  again_.reset();
  refill_.reset();
  queue_ = nullptr;
  done();
}

void VirtioRng::reset() { budget_ = options_.max_bytes; }

std::vector<Counter> VirtioRng::counters() const {
  return {{"requests", requests_.load(std::memory_order_relaxed)}, {"bytes", bytes_.load(std::memory_order_relaxed)}};
}

}  // namespace lodge
