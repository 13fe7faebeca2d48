// One io_uring: the only file pair that knows liburing. Used by the thread that owns it and by no other.
//
// An operation is a UringOp that its owner keeps alive until complete() runs. Submissions are gathered and go to the kernel
// with the next wait (one system call for a whole batch), or when the ring is full.
//
// The kernel holds the ring to the operations that are named here (IORING_REGISTER_RESTRICTIONS): seccomp does not see what
// goes through a ring, and none of ours shall open files or sockets.
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

struct io_uring;
struct io_uring_sqe;

namespace lodge {

// A kernel operation in flight. complete() gets the CQE's result (bytes or -errno) on the loop's thread.
struct UringOp {
  using Complete = void (*)(UringOp& op, int32_t result);
  Complete complete = nullptr;
};

class Uring {
 public:
  // `entries`: submission slots; completions have eight times as many. Fails when the kernel forbids or lacks io_uring.
  [[nodiscard]] static Result<std::unique_ptr<Uring>> create(unsigned entries);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // `file` is a descriptor, or a slot from register_file() when `fixed`.
  struct File {
    int fd = -1;
    bool fixed = false;
  };
  void readv(UringOp& op, File file, std::span<const iovec> iov, uint64_t offset);
  void writev(UringOp& op, File file, std::span<const iovec> iov, uint64_t offset, bool durable);
  void read(UringOp& op, File file, void* to, unsigned size, uint64_t offset);
  void write(UringOp& op, File file, const void* from, unsigned size, uint64_t offset);
  void fdatasync(UringOp& op, File file);
  void fallocate(UringOp& op, File file, int mode, uint64_t offset, uint64_t length);
  void poll(UringOp& op, int fd, unsigned events);
  // Asks the kernel to end `target` early; target's complete() still runs (with -ECANCELED or its result).
  void cancel(UringOp& target);

  // A slot for `fd` in the ring's file table; the operations skip the descriptor look-up. Error: table full.
  [[nodiscard]] Result<int> register_file(int fd);
  void unregister_file(int slot);
  // Registers memory that read() and write() then use without looking up its pages each time. It is pinned: it must stay
  // mapped as it is while the ring lives. In ascending order. Once per ring; when the kernel refuses (RLIMIT_MEMLOCK),
  // nothing has changed.
  [[nodiscard]] Result<void> register_buffers(std::span<const iovec> buffers);

  // The calling thread is now the one that uses the ring: lets the kernel skip the descriptor look-up. Optional.
  void adopt_thread();
  void leave_thread();
  // Submits what is gathered, waits for a completion or the timeout (none: for ever; zero: not at all), then completes all
  // that is ready.
  void run_once(std::optional<std::chrono::nanoseconds> timeout);

 private:
  Uring() = default;
  [[nodiscard]] io_uring_sqe* next(UringOp* op);
  static void set_file(io_uring_sqe* sqe, File file);
  void restrict_operations();
  // The registered buffer that holds all of the range, or -1.
  [[nodiscard]] int buffer_of(const void* begin, unsigned size) const;

  static constexpr unsigned kFileSlots = 256;
  std::unique_ptr<io_uring> ring_;
  bool ready_ = false;
  uint64_t used_slots_[kFileSlots / 64] = {};
  std::vector<iovec> buffers_;  // ascending
};

}  // namespace lodge
