#include "devices/virtio/net/rx.h"

#include <algorithm>

#include "devices/virtio/net/device.h"

namespace lodge {
namespace {

constexpr size_t kMaxIov = 1024;

}  // namespace

NetRx::NetRx(VirtioNet& device, NetBackend& backend) : device_(device), backend_(backend), spill_(kMaxFrame) {}

NetRx::~NetRx() = default;

void NetRx::start(Virtqueue& queue) {
  queue_ = &queue;
  mergeable_ = (device_.negotiated() & net::kMergeable) != 0;
  guest_header_ = device_.header_size();
  pending_frame_ = 0;
  held_bytes_ = 0;
  filter_generation_ = ~uint64_t{0};
}

void NetRx::kick() {
  if (queue_ != nullptr) {
    again_.reset();
    pump();
  }
}

void NetRx::stop(const VirtioDevice::Done& done) {
  readable_.reset();
  again_.reset();
  if (pending_frame_ != 0) {
    net::Counters::add(counters_.dropped, 1);
    pending_frame_ = 0;
  }
  for (Chain& chain : held_) {
    chain.give_back();
  }
  held_.clear();
  held_bytes_ = 0;
  queue_ = nullptr;
  done();
}

void NetRx::pump() {
  queue_->disable_kicks();
  for (int count = 0; count < kBatch; ++count) {
    switch (receive_one()) {
      case Outcome::again: break;
      case Outcome::idle:
        if (!readable_.active()) {
          readable_ = queue_->loop().on_readable(backend_.poll_fd(), [this] { pump(); });
        }
        return;
      case Outcome::no_buffers:
        readable_.reset();
        if (queue_->broken() || !queue_->enable_kicks()) {
          return;
        }
        queue_->disable_kicks();
        break;
      case Outcome::gone: pump_later(kGoneRetry); return;  // a switched-off queue: a watch would fire for ever
    }
  }
  pump_later(std::chrono::nanoseconds(0));
}

void NetRx::pump_later(std::chrono::nanoseconds delay) {
  readable_.reset();  // the timer goes on instead
  again_ = queue_->loop().after(delay, [this] {
    again_.reset();
    pump();
  });
}

// Takes buffers until they hold `bytes`, as far as the ring has them; true when at least one buffer is held.
bool NetRx::hold(uint64_t bytes) {
  while (held_.empty() || (mergeable_ && held_bytes_ < bytes && held_.size() < queue_->size())) {
    auto chain = queue_->pop();
    if (!chain) {
      break;
    }
    if (chain->writable_bytes() < (held_.empty() ? guest_header_ : 1)) {
      device_.guest_mistake("a receive buffer is too small for the header");
      continue;  // returned with nothing written
    }
    held_bytes_ += chain->writable_bytes();
    held_.push_back(std::move(*chain));
  }
  return !held_.empty();
}

// Appends the held buffers from byte `offset` of their concatenation to iov_.
void NetRx::gather_held(uint64_t offset) {
  for (const Chain& chain : held_) {
    const uint64_t size = chain.writable_bytes();
    if (offset >= size) {
      offset -= size;
      continue;
    }
    chain.writable_iov(offset, size - offset, iov_);
    offset = 0;
  }
}

void NetRx::scatter_held(uint64_t offset, std::span<const std::byte> from) const {
  for (const Chain& chain : held_) {
    if (from.empty()) {
      return;
    }
    const uint64_t size = chain.writable_bytes();
    if (offset >= size) {
      offset -= size;
      continue;
    }
    const size_t n = chain.write(offset, from);
    from = from.subspan(n);
    offset = 0;
    if (n == 0) {
      return;
    }
  }
}

NetRx::Outcome NetRx::receive_one() {
  if (pending_frame_ != 0) {
    return place(pending_frame_);
  }
  if (!hold(guest_header_ + kMaxFrame)) {
    return Outcome::no_buffers;
  }
  iov_.assign(1, iovec{head_.data(), kHead});
  const uint64_t local = kHead - kVnetHeader + guest_header_;  // of the held stream, what head_ stands for
  gather_held(local);
  if (iov_.size() > kMaxIov - 1) {
    iov_.resize(kMaxIov - 1);
  }
  spill_from_ = local + iov_bytes(std::span(iov_).subspan(1));
  iov_.push_back({spill_.data(), spill_.size()});
  size_t bytes = 0;
  switch (backend_.receive(iov_, bytes)) {
    case NetBackend::Io::would_block: return Outcome::idle;
    case NetBackend::Io::gone: return Outcome::gone;
    case NetBackend::Io::done: break;
  }
  refresh_filter();
  const size_t known = std::min(bytes, kHead);
  if (bytes < kVnetHeader + kMinFrame || bytes > kVnetHeader + kMaxFrame || !device_.link_up() ||
      !filter_->accepts(std::span(head_).first(known).subspan(kVnetHeader))) {
    net::Counters::add(counters_.dropped, 1);
    return Outcome::again;
  }
  return place(bytes - kVnetHeader);
}

// The frame is in head_, the held buffers and perhaps the spill buffer: makes room for all of it and completes it.
NetRx::Outcome NetRx::place(size_t frame) {
  const uint64_t total = frame + guest_header_;
  if (total > held_bytes_ || total > spill_from_) {
    if (mergeable_ && total > held_bytes_) {
      static_cast<void>(hold(total));
    }
    if (total > held_bytes_) {
      if (mergeable_ && held_.size() < queue_->size()) {
        pending_frame_ = frame;
        return Outcome::no_buffers;
      }
      // Larger than the ring or, without merging, than a buffer.
      pending_frame_ = 0;
      net::Counters::add(counters_.dropped, 1);
      return Outcome::again;
    }
    scatter_held(spill_from_, std::span(spill_).first(total - std::min<uint64_t>(total, spill_from_)));
  }
  pending_frame_ = 0;
  complete(frame);
  return Outcome::again;
}

void NetRx::complete(size_t frame) {
  uint64_t rest = frame + guest_header_;
  uint16_t used = 0;
  for (Chain& chain : held_) {
    const uint64_t n = std::min<uint64_t>(chain.writable_bytes(), rest);
    chain.mark_written(0, n);
    chain.set_written(n);
    held_bytes_ -= chain.writable_bytes();
    rest -= n;
    ++used;
    if (rest == 0) {
      break;
    }
  }
  net::Header header;
  std::memcpy(&header, head_.data(), sizeof header);
  header.buffers = used;
  // Order: head_ first holds the backend's header; the guest's may be two bytes shorter.
  scatter_held(0, std::as_bytes(std::span(&header, 1)).first(guest_header_));
  scatter_held(guest_header_, std::span(head_).subspan(kVnetHeader, std::min(frame, kHead - kVnetHeader)));
  held_.erase(held_.begin(), held_.begin() + used);  // each goes to the used ring, in order
  net::Counters::add(counters_.packets, 1);
  net::Counters::add(counters_.bytes, frame);
}

void NetRx::refresh_filter() {
  const uint64_t generation = device_.filter_generation();
  if (generation != filter_generation_) {
    filter_generation_ = generation;
    filter_ = device_.filter();
  }
}

}  // namespace lodge
