#include "devices/block/qcow2/queue.h"

#include <cassert>

#include "base/units.h"
#include "devices/block/iov.h"

namespace lodge::qcow2 {
namespace {

constexpr size_t kMostExtents = 64;  // more: it is scattered enough for the home loop

}  // namespace

Queue::Queue(Backend& backend, EventLoop& loop, std::unique_ptr<BlockQueue> file, std::unique_ptr<BlockQueue> backing)
    : backend_(backend), loop_(loop), file_(std::move(file)), backing_(std::move(backing)) {}

Queue::~Queue() {
  assert(in_flight_ == 0);
  loop_.forget(this);
  backend_.leave(*this);
}

void Queue::submit(BlockRequest& request) {
  ++in_flight_;
  const bool flush = request.kind == BlockRequest::Kind::flush;
  int refused = 0;
  if (!flush && !range_fits(request.offset, request.length, backend_.size())) {
    refused = EINVAL;
  } else if (!flush && request.kind != BlockRequest::Kind::read && backend_.read_only()) {
    refused = EROFS;
  }
  const uint64_t generation = backend_.image_->map().begin_request();
  if (refused != 0 || (!flush && request.length == 0) || (flush && backend_.read_only())) {
    loop_.defer(this, [this, &request, generation, refused] { finish(request, generation, refused); });
  } else if (!quick(request, generation)) {
    send_home(request, generation);
  }
}

void Queue::finish(BlockRequest& request, uint64_t generation, int error) {
  backend_.image_->map().end_request(generation);
  --in_flight_;
  request.done(request, error);
}

// Reads, and writes to clusters that are there and nobody else's.
bool Queue::quick(BlockRequest& request, uint64_t generation) {
  const bool reading = request.kind == BlockRequest::Kind::read;
  if ((!reading && request.kind != BlockRequest::Kind::write) || request.durable) {
    return false;
  }
  const uint64_t behind = backend_.image_->options().backing_size;
  extents_.clear();
  for (uint64_t at = 0; at < request.length;) {
    const Extent extent = backend_.image_->map().lookup(request.offset + at, request.length - at);
    const uint64_t end = request.offset + at + extent.length;
    const bool here = extent.kind == Extent::Kind::data && (reading || extent.sole);
    const bool zeros = reading && (extent.kind == Extent::Kind::zero ||
                                   (extent.kind == Extent::Kind::unallocated && request.offset + at >= behind));
    const bool in_backing = reading && extent.kind == Extent::Kind::unallocated && end <= behind;
    if ((!here && !zeros && !in_backing) || extents_.size() == kMostExtents) {
      return false;
    }
    extents_.push_back(extent);
    at += extent.length;
  }
  if (idle_parents_.empty()) {
    idle_parents_.push_back(parents_.emplace_back(std::make_unique<Parent>()).get());
  }
  Parent& parent = *idle_parents_.back();
  idle_parents_.pop_back();
  parent = {.queue = this, .request = &request, .generation = generation, .parts = 1};
  uint64_t at = 0;
  for (const Extent& extent : extents_) {
    const bool data = extent.kind == Extent::Kind::data;
    if (data || (extent.kind == Extent::Kind::unallocated && request.offset + at < behind)) {
      Part& part = take_part();
      part.parent = &parent;
      part.kind = request.kind;
      part.offset = data ? extent.host : request.offset + at;
      part.length = extent.length;
      slice_iov(request.iov, at, extent.length, part.iov);
      ++parent.parts;
      (data ? *file_ : *backing_).submit(part);
    } else {
      zero_iov(request.iov, at, extent.length);
    }
    at += extent.length;
  }
  loop_.defer(this, [this, &parent] {  // the request itself was the first part
    Part& last = take_part();
    last.parent = &parent;
    part_done(last, 0);
  });
  return true;
}

Queue::Part& Queue::take_part() {
  if (idle_parts_.empty()) {
    auto& made = parts_.emplace_back(std::make_unique<Part>());
    made->done = [](BlockRequest& request, int error) {
      auto& part = static_cast<Part&>(request);
      part.parent->queue->part_done(part, error);
    };
    return *made;
  }
  Part& part = *idle_parts_.back();
  idle_parts_.pop_back();
  return part;
}

void Queue::part_done(Part& part, int error) {
  Parent& parent = *part.parent;
  idle_parts_.push_back(&part);
  parent.error = parent.error != 0 ? parent.error : error;
  if (--parent.parts == 0) {
    BlockRequest& request = *parent.request;
    const uint64_t generation = parent.generation;
    const int outcome = parent.error;
    idle_parents_.push_back(&parent);
    finish(request, generation, outcome);
  }
}

void Queue::send_home(BlockRequest& request, uint64_t generation) {
  Queue* const home = backend_.home_for(*this);
  if (home == this) {
    // Not from within submit(): much of it may be over at once.
    loop_.defer(this, [this, &request, generation] {
      start(backend_.image_->run(request), [this, &request, generation](int error) { finish(request, generation, error); });
    });
    return;
  }
  home->loop().post([this, &request, generation] {
    start(backend_.image_->run(request), [this, &request, generation](int error) {
      loop_.post([this, &request, generation, error] { finish(request, generation, error); });
    });
  });
}

}  // namespace lodge::qcow2
