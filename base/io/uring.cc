#include "base/io/uring.h"

#include <fcntl.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include <liburing.h>

#include "base/log.h"

namespace lodge {

Result<std::unique_ptr<Uring>> Uring::create(unsigned entries) {
  std::unique_ptr<Uring> uring(new Uring);
  uring->ring_ = std::make_unique<io_uring>();
  io_uring_params params{};
  constexpr unsigned kFlags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
  params.flags = kFlags | IORING_SETUP_COOP_TASKRUN;
  params.cq_entries = entries * 8;
  int rc = io_uring_queue_init_params(entries, uring->ring_.get(), &params);
  if (rc == -EINVAL) {  // before Linux 5.19
    params = {};
    params.flags = kFlags;
    params.cq_entries = entries * 8;
    rc = io_uring_queue_init_params(entries, uring->ring_.get(), &params);
  }
  if (rc < 0) {
    return fail_errno(-rc, "set up io_uring (Lodge needs Linux 5.11 or later with kernel.io_uring_disabled=0)");
  }
  uring->ready_ = true;
  io_uring_ring_dontfork(uring->ring_.get());  // a child could make its parent's kernel do things
  // Best effort: without the table the operations use plain descriptors.
  io_uring_register_files_sparse(uring->ring_.get(), kFileSlots);
  uring->restrict_operations();
  rc = io_uring_enable_rings(uring->ring_.get());
  if (rc < 0) {
    return fail_errno(-rc, "enable io_uring");
  }
  return uring;
}

void Uring::restrict_operations() {
  std::vector<io_uring_restriction> rules;
  const auto allow = [&rules](uint16_t opcode, uint8_t value) {
    io_uring_restriction rule{};
    rule.opcode = opcode;
    rule.sqe_op = value;  // one byte that all kinds share
    rules.push_back(rule);
  };
  for (const uint8_t operation :
       {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
        IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_TIMEOUT}) {
    allow(IORING_RESTRICTION_SQE_OP, operation);
  }
  for (const uint8_t operation :
       {IORING_REGISTER_FILES_UPDATE, IORING_REGISTER_BUFFERS, IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS}) {
    allow(IORING_RESTRICTION_REGISTER_OP, operation);
  }
  allow(IORING_RESTRICTION_SQE_FLAGS_ALLOWED, IOSQE_FIXED_FILE);
  const int rc = io_uring_register_restrictions(ring_.get(), rules.data(), static_cast<unsigned>(rules.size()));
  if (rc < 0) {
    log_warning("io_uring", "the kernel does not restrict rings ({}); the sandbox is weaker",
                std::generic_category().message(-rc));
  }
}

int Uring::buffer_of(const void* begin, unsigned size) const {
  const auto behind = std::ranges::upper_bound(buffers_, begin, std::less<>(), &iovec::iov_base);
  if (behind == buffers_.begin()) {
    return -1;
  }
  const iovec& buffer = *std::prev(behind);
  const auto offset =
      static_cast<size_t>(static_cast<const std::byte*>(begin) - static_cast<const std::byte*>(buffer.iov_base));
  return offset <= buffer.iov_len && size <= buffer.iov_len - offset ? static_cast<int>(&buffer - buffers_.data()) : -1;
}

Uring::~Uring() {
  if (ready_) {
    io_uring_queue_exit(ring_.get());
  }
}

io_uring_sqe* Uring::next(UringOp* op) {
  io_uring_sqe* sqe = io_uring_get_sqe(ring_.get());
  while (sqe == nullptr) {  // full: hand the batch over; the kernel always takes at least one
    io_uring_submit(ring_.get());
    sqe = io_uring_get_sqe(ring_.get());
  }
  sqe->flags = 0;
  io_uring_sqe_set_data(sqe, op);
  return sqe;
}

// Prep helpers clear the whole entry, so flags and data are set after them.
#define LODGE_PREP(op, file, prep, ...) \
  io_uring_sqe* sqe = next(&(op));      \
  prep(sqe, (file).fd, __VA_ARGS__);    \
  set_file(sqe, file);                  \
  io_uring_sqe_set_data(sqe, &(op))

void Uring::set_file(io_uring_sqe* sqe, File file) {
  if (file.fixed) {
    sqe->flags |= IOSQE_FIXED_FILE;
  }
}

void Uring::readv(UringOp& op, File file, std::span<const iovec> iov, uint64_t offset) {
  LODGE_PREP(op, file, io_uring_prep_readv, iov.data(), static_cast<unsigned>(iov.size()), offset);
}

void Uring::writev(UringOp& op, File file, std::span<const iovec> iov, uint64_t offset, bool durable) {
  LODGE_PREP(op, file, io_uring_prep_writev, iov.data(), static_cast<unsigned>(iov.size()), offset);
  sqe->rw_flags = durable ? RWF_DSYNC : 0;
}

void Uring::read(UringOp& op, File file, void* to, unsigned size, uint64_t offset) {
  if (const int buffer = buffer_of(to, size); buffer >= 0) {
    LODGE_PREP(op, file, io_uring_prep_read_fixed, to, size, offset, buffer);
  } else {
    LODGE_PREP(op, file, io_uring_prep_read, to, size, offset);
  }
}

void Uring::write(UringOp& op, File file, const void* from, unsigned size, uint64_t offset) {
  if (const int buffer = buffer_of(from, size); buffer >= 0) {
    LODGE_PREP(op, file, io_uring_prep_write_fixed, from, size, offset, buffer);
  } else {
    LODGE_PREP(op, file, io_uring_prep_write, from, size, offset);
  }
}

void Uring::fdatasync(UringOp& op, File file) { LODGE_PREP(op, file, io_uring_prep_fsync, IORING_FSYNC_DATASYNC); }

void Uring::fallocate(UringOp& op, File file, int mode, uint64_t offset, uint64_t length) {
  LODGE_PREP(op, file, io_uring_prep_fallocate, mode, static_cast<off_t>(offset), static_cast<off_t>(length));
}

void Uring::poll(UringOp& op, int fd, unsigned events) { LODGE_PREP(op, (File{fd, false}), io_uring_prep_poll_add, events); }

#undef LODGE_PREP

void Uring::cancel(UringOp& target) {
  io_uring_sqe* sqe = next(nullptr);
  io_uring_prep_cancel(sqe, &target, 0);
  io_uring_sqe_set_data(sqe, nullptr);
}

Result<int> Uring::register_file(int fd) {
  for (unsigned word = 0; word < kFileSlots / 64; ++word) {
    if (used_slots_[word] == ~uint64_t{0}) {
      continue;
    }
    const auto bit = static_cast<unsigned>(std::countr_one(used_slots_[word]));
    const unsigned slot = word * 64 + bit;
    const int rc = io_uring_register_files_update(ring_.get(), slot, &fd, 1);
    if (rc < 0) {
      return fail_errno(-rc, "register descriptor {} with io_uring", fd);
    }
    used_slots_[word] |= uint64_t{1} << bit;
    return static_cast<int>(slot);
  }
  return fail("io_uring file table is full ({} slots)", kFileSlots);
}

void Uring::unregister_file(int slot) {
  int none = -1;
  io_uring_register_files_update(ring_.get(), static_cast<unsigned>(slot), &none, 1);
  used_slots_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
}

Result<void> Uring::register_buffers(std::span<const iovec> buffers) {
  const int rc = io_uring_register_buffers(ring_.get(), buffers.data(), static_cast<unsigned>(buffers.size()));
  if (rc < 0) {
    return fail_errno(-rc, "register memory with io_uring");
  }
  buffers_.assign(buffers.begin(), buffers.end());
  return {};
}

// The registration belongs to the calling thread, not to the ring.
void Uring::adopt_thread() { io_uring_register_ring_fd(ring_.get()); }
void Uring::leave_thread() { io_uring_unregister_ring_fd(ring_.get()); }

void Uring::run_once(std::optional<std::chrono::nanoseconds> timeout) {
  io_uring_cqe* cqe = nullptr;
  int rc = 0;
  if (timeout && timeout->count() <= 0) {
    rc = io_uring_submit_and_get_events(ring_.get());
  } else if (timeout) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*timeout);
    __kernel_timespec ts{.tv_sec = seconds.count(), .tv_nsec = (*timeout - seconds).count()};
    rc = io_uring_submit_and_wait_timeout(ring_.get(), &cqe, 1, &ts, nullptr);
  } else {
    rc = io_uring_submit_and_wait(ring_.get(), 1);
  }
  if (rc < 0 && rc != -EINTR && rc != -ETIME && rc != -EAGAIN && rc != -EBUSY && rc != -ENOMEM) {
    log_error("io_uring", "the kernel refuses to go on: {}; this is a bug of lodge-vmm",
              std::generic_category().message(-rc));
    std::abort();
  }
  std::array<io_uring_cqe*, 64> batch{};
  for (;;) {
    const unsigned count = io_uring_peek_batch_cqe(ring_.get(), batch.data(), batch.size());
    if (count == 0) {
      return;
    }
    // Copy first: a completion may submit, which may reuse ring slots once they are marked seen.
    std::array<std::pair<UringOp*, int32_t>, 64> done;
    for (unsigned i = 0; i < count; ++i) {
      done[i] = {static_cast<UringOp*>(io_uring_cqe_get_data(batch[i])), batch[i]->res};
    }
    io_uring_cq_advance(ring_.get(), count);
    for (unsigned i = 0; i < count; ++i) {
      if (done[i].first != nullptr) {
        done[i].first->complete(*done[i].first, done[i].second);
      }
    }
  }
}

}  // namespace lodge
