#include "devices/block/raw_queue.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdlib>
#include <cstring>

#include "base/units.h"
#include "devices/block/iov.h"
#include "devices/block/raw.h"

namespace lodge {
namespace {

constexpr uint64_t kMaxTransfer = 1 * kGiB;  // per call: results are 32-bit
constexpr uint64_t kBounceSize = 256 * kKiB;
constexpr size_t kKeptBounces = 16;
constexpr size_t kZeroPiece = 64 * kKiB;
alignas(4096) constinit std::array<std::byte, kZeroPiece> zero_piece{};  // written from only

void zero_from(BlockRequest& request) {
  zero_iov(request.iov, request.progress, request.length - request.progress);
  request.progress = request.length;
}

}  // namespace

RawQueue::RawQueue(const RawBackend& backend, EventLoop& loop) : backend_(backend), loop_(loop) {
  const auto slot = loop.ring().register_file(backend.fd());
  file_ = slot ? Uring::File{*slot, true} : Uring::File{backend.fd(), false};
}

RawQueue::~RawQueue() {
  assert(in_flight_ == 0);
  if (file_.fixed) {
    loop_.ring().unregister_file(file_.fd);
  }
  for (void* buffer : bounces_) {
    std::free(buffer);
  }
}

void RawQueue::submit(BlockRequest& request) {
  ++in_flight_;
  request.queue = this;
  request.progress = 0;
  request.complete = [](UringOp& op, int32_t result) {
    auto& self = static_cast<BlockRequest&>(op);
    static_cast<RawQueue*>(self.queue)->completed(self, result);
  };
  start(request);
}

bool RawQueue::durable(const BlockRequest& request) const {
  return (request.durable || backend_.durable_writes()) && !backend_.ignores_flush();
}

void RawQueue::start(BlockRequest& request) {
  using Kind = BlockRequest::Kind;
  if (request.kind == Kind::flush) {
    if (backend_.ignores_flush() || backend_.read_only()) {
      finish_later(request, 0);
    } else {
      sync(request);
    }
    return;
  }
  if (!range_fits(request.offset, request.length, backend_.size())) {
    finish_later(request, EINVAL);
    return;
  }
  if (request.kind != Kind::read && backend_.read_only()) {
    finish_later(request, EROFS);
    return;
  }
  if (request.length == 0) {
    finish_later(request, 0);
    return;
  }
  switch (request.kind) {
    case Kind::read:
    case Kind::write:
      request.stage = aligned(request) ? kDirect : kBounced;
      if (request.stage == kBounced && (request.offset | request.length) % backend_.direct_offset_align() != 0) {
        finish_later(request, EINVAL);  // less than the storage's unit
        return;
      }
      step_transfer(request);
      return;
    case Kind::discard:
      if (!backend_.unmaps() || !can_punch_) {
        finish_later(request, 0);  // a hint
      } else {
        start_zeroes(request, kPunch);
      }
      return;
    case Kind::write_zeroes:
      if (request.may_unmap && backend_.unmaps() && can_punch_) {
        start_zeroes(request, kPunch);
      } else {
        start_zeroes(request, can_zero_range_ ? kZeroRange : kZeroWrite);
      }
      return;
    case Kind::flush: return;
  }
}

bool RawQueue::aligned(const BlockRequest& request) const {
  const uint64_t memory = backend_.direct_memory_align();
  const uint64_t unit = backend_.direct_offset_align();
  if (unit <= 1) {
    return true;
  }
  if ((request.offset | request.length) % unit != 0) {
    return false;
  }
  if (request.iov.size() == 1) {
    return reinterpret_cast<uintptr_t>(request.iov[0].iov_base) % memory == 0;  // SAFETY: the address as a number
  }
  for (const iovec& part : request.iov) {
    // Lengths too: a segment's end is the next one's start on the medium.
    if (reinterpret_cast<uintptr_t>(part.iov_base) % memory != 0 || part.iov_len % unit != 0) {  // SAFETY: as above
      return false;
    }
  }
  return true;
}

void RawQueue::step_transfer(BlockRequest& request) {
  if (request.stage == kBounced) {
    step_bounce(request);
    return;
  }
  Uring& ring = loop_.ring();
  const uint64_t at = request.offset + request.progress;
  const bool reading = request.kind == BlockRequest::Kind::read;
  const bool sync_write = !reading && durable(request);
  std::span<const iovec> parts(request.iov);
  if (request.progress != 0 || parts.size() > kMaxIov || request.length > kMaxTransfer) {
    slice_iov(request.iov, request.progress, std::min(request.length - request.progress, kMaxTransfer), request.work);
    parts = request.work;
  }
  if (parts.size() == 1 && !sync_write) {
    const auto size = static_cast<unsigned>(parts[0].iov_len);
    reading ? ring.read(request, file_, parts[0].iov_base, size, at)
            : ring.write(request, file_, parts[0].iov_base, size, at);
  } else if (reading) {
    ring.readv(request, file_, parts, at);
  } else {
    ring.writev(request, file_, parts, at, sync_write);
  }
}

void RawQueue::step_bounce(BlockRequest& request) {
  if (request.bounce == nullptr) {
    request.bounce = take_bounce();
    if (request.bounce == nullptr) {
      finish_later(request, ENOMEM);
      return;
    }
  }
  const uint64_t limit = std::min(request.length - request.progress, kBounceSize);
  // At most kMaxIov pieces: round down to whole units of the storage (a piece of one byte each would never fill one).
  uint64_t size = slice_iov(request.iov, request.progress, limit, request.work);
  size = align_down(size, backend_.direct_offset_align());
  if (size == 0) {
    finish_later(request, EINVAL);
    return;
  }
  slice_iov(request.iov, request.progress, size, request.work);
  const uint64_t at = request.offset + request.progress;
  if (request.kind == BlockRequest::Kind::read) {
    loop_.ring().read(request, file_, request.bounce, static_cast<unsigned>(size), at);
    return;
  }
  copy_from_iov(request.work, static_cast<std::byte*>(request.bounce));
  if (durable(request)) {
    request.work.assign(1, iovec{request.bounce, size});
    loop_.ring().writev(request, file_, request.work, at, true);
  } else {
    loop_.ring().write(request, file_, request.bounce, static_cast<unsigned>(size), at);
  }
}

void RawQueue::step_zero_write(BlockRequest& request) {
  request.work.clear();
  uint64_t size = 0;
  while (size < request.length - request.progress && request.work.size() < 16) {
    const uint64_t piece = std::min<uint64_t>(kZeroPiece, request.length - request.progress - size);
    request.work.push_back({zero_piece.data(), piece});
    size += piece;
  }
  loop_.ring().writev(request, file_, request.work, request.offset + request.progress, durable(request));
}

void RawQueue::start_zeroes(BlockRequest& request, Stage stage) {
  request.stage = stage;
  switch (stage) {
    case kPunch:
      loop_.ring().fallocate(request, file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request.offset, request.length);
      return;
    case kZeroRange:
      loop_.ring().fallocate(request, file_, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, request.offset, request.length);
      return;
    default: step_zero_write(request); return;
  }
}

void RawQueue::sync(BlockRequest& request) {
  request.stage = kSync;
  loop_.ring().fdatasync(request, file_);
}

void RawQueue::completed(BlockRequest& request, int32_t result) {
  if (result == -EINTR || result == -EAGAIN) {
    switch (request.stage) {
      case kDirect:
      case kBounced: step_transfer(request); return;
      case kZeroWrite: step_zero_write(request); return;
      case kSync: sync(request); return;
      default: start_zeroes(request, static_cast<Stage>(request.stage)); return;
    }
  }
  switch (request.stage) {
    case kPunch:
    case kZeroRange: allocated(request, result); return;
    case kSync: finish(request, result < 0 ? -result : 0); return;
    default: break;
  }
  if (result < 0) {
    finish(request, -result);
    return;
  }
  if (request.stage == kZeroWrite) {
    request.progress += static_cast<uint64_t>(result);
    if (result == 0) {
      finish(request, EIO);
    } else if (request.progress < request.length) {
      step_zero_write(request);
    } else {
      finish(request, 0);
    }
    return;
  }
  transferred(request, static_cast<uint64_t>(result));
}

void RawQueue::transferred(BlockRequest& request, uint64_t bytes) {
  const bool reading = request.kind == BlockRequest::Kind::read;
  if (request.stage == kBounced && reading) {
    uint64_t rest = bytes;
    for (iovec& part : request.work) {
      part.iov_len = std::min<uint64_t>(part.iov_len, rest);
      rest -= part.iov_len;
    }
    copy_to_iov(request.work, static_cast<const std::byte*>(request.bounce));
  }
  if (request.progress + bytes >= request.length) {
    finish(request, 0);
    return;
  }
  // Direct I/O goes on at whole units only; a cut inside one is the end of the file.
  const uint64_t whole = align_down(bytes, backend_.direct_offset_align());
  if (whole == 0) {
    if (reading) {
      request.progress += bytes;
      zero_from(request);
    }
    finish(request, reading ? 0 : EIO);
    return;
  }
  request.progress += whole;
  step_transfer(request);
}

void RawQueue::allocated(BlockRequest& request, int32_t result) {
  if (result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV) {
    (request.stage == kPunch ? can_punch_ : can_zero_range_) = false;
  }
  const bool unable = result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV || result == -EINVAL;
  if (result >= 0) {
    // Not durable by itself where the guest may expect it.
    durable(request) ? sync(request) : finish(request, 0);
  } else if (!unable) {
    finish(request, -result);
  } else if (request.kind == BlockRequest::Kind::discard) {
    finish(request, 0);
  } else {
    start_zeroes(request, request.stage == kPunch && can_zero_range_ ? kZeroRange : kZeroWrite);
  }
}

void RawQueue::finish(BlockRequest& request, int error) {
  if (request.bounce != nullptr) {
    return_bounce(std::exchange(request.bounce, nullptr));
  }
  --in_flight_;
  request.done(request, error);
}

void RawQueue::finish_later(BlockRequest& request, int error) {
  request.progress = static_cast<uint64_t>(error);
  loop_.defer(this,
              [&request] { static_cast<RawQueue*>(request.queue)->finish(request, static_cast<int>(request.progress)); });
}

void* RawQueue::take_bounce() {
  if (bounces_.empty()) {
    return std::aligned_alloc(std::max<size_t>(kPageSize, backend_.direct_memory_align()), kBounceSize);
  }
  void* buffer = bounces_.back();
  bounces_.pop_back();
  return buffer;
}

void RawQueue::return_bounce(void* buffer) {
  if (bounces_.size() < kKeptBounces) {
    bounces_.push_back(buffer);
  } else {
    std::free(buffer);
  }
}

}  // namespace lodge
