#include "devices/block/qcow2/backend.h"

#include <algorithm>
#include <future>

#include "base/log.h"
#include "base/units.h"
#include "devices/block/qcow2/queue.h"

namespace lodge::qcow2 {
namespace {

constexpr uint64_t kHeaderRead = 64 * kKiB;

// Runs one request after the other on a loop of its own, for opening and closing.
class Alone {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Alone>> create(BlockBackend& file) {
    auto loop = TRY(EventLoop::create("image"));
    auto queue = TRY(file.open_queue(*loop));
    return std::unique_ptr<Alone>(new Alone(std::move(loop), std::move(queue)));
  }
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> value;
    start(std::move(task), [&value](T got) { value = std::move(got); });
    while (!value) {
      loop_->run_once(std::chrono::milliseconds(1));  // longer does not help: what is deferred does not end the wait
    }
    return std::move(*value);
  }
  [[nodiscard]] int read(uint64_t at, void* to, uint64_t size) {
    const auto one = [](BlockQueue& queue, uint64_t from, void* memory, uint64_t bytes) -> Task<int> {
      BlockIo io(queue, BlockRequest::Kind::read, from, memory, bytes);
      co_return co_await io;
    };
    return wait(one(*queue_, at, to, size));
  }
  [[nodiscard]] EventLoop& loop() { return *loop_; }
  [[nodiscard]] BlockQueue& queue() { return *queue_; }

 private:
  Alone(std::unique_ptr<EventLoop> loop, std::unique_ptr<BlockQueue> queue)
      : loop_(std::move(loop)), queue_(std::move(queue)) {}
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<BlockQueue> queue_;
};

Result<std::vector<uint64_t>> read_table(Alone& alone, uint64_t at, uint64_t entries, const std::string& what) {
  std::vector<uint64_t> table(align_up(entries * sizeof(uint64_t), kPageSize) / sizeof(uint64_t));
  if (const int error = table.empty() ? 0 : alone.read(at, table.data(), table.size() * sizeof(uint64_t)); error != 0) {
    return fail_errno(error, "cannot read the tables of {}", what);
  }
  table.resize(entries);
  std::ranges::transform(table, table.begin(), swapped);
  return table;
}

}  // namespace

Result<std::unique_ptr<Backend>> Backend::open(BackendOptions options) {
  BlockInfo info = options.file->info();
  const auto alone = TRY(Alone::create(*options.file));
  std::vector<std::byte> first(align_up(std::min(kHeaderRead, options.file_bytes), info.logical_block));
  if (const int error = alone->read(0, first.data(), first.size()); error != 0) {
    return fail_errno(error, "cannot read {}", info.description);
  }
  Header header = TRY(parse_header(first, info.description));
  if (!info.read_only && (header.incompatible & (kDirty | kCorrupt)) != 0) {
    return fail("cannot use {}: the qcow2 image is marked as {}; run qemu-img check -r all on it", info.description,
                (header.incompatible & kCorrupt) != 0 ? "corrupt" : "not closed well");
  }
  if (header.cluster_size() < info.logical_block) {
    return fail("cannot use {}: clusters of {} bytes are smaller than the storage's blocks of {}; use cache=writeback",
                info.description, header.cluster_size(), info.logical_block);
  }
  if (!header.backing_file.empty() && !options.backing && !options.ignore_backing_name) {
    return fail("cannot use {}: it wants the backing file '{}', which was not given", info.description, header.backing_file);
  }
  auto l1 = TRY(read_table(*alone, header.l1_offset, header.l1_entries, info.description));
  auto counts = TRY(read_table(*alone, header.refcount_table_offset,
                               (uint64_t{header.refcount_table_clusters} << header.cluster_bits) / sizeof(uint64_t),
                               info.description));
  info.size = align_down(header.size, info.logical_block);
  info.can_discard = options.unmap && !info.read_only;
  const uint64_t blank = options.file_bytes == UINT64_MAX
                             ? UINT64_MAX
                             : align_up(options.file_bytes, header.cluster_size()) >> header.cluster_bits;
  Image::Options how{.read_only = info.read_only,
                     .unmap = options.unmap,
                     .backing_size = options.backing ? options.backing->info().size : 0,
                     .has_backing = options.backing != nullptr};
  return std::unique_ptr<Backend>(new Backend(
      std::move(options), std::make_unique<Image>(std::move(header), std::move(l1), std::move(counts), blank, how), info));
}

Backend::Backend(BackendOptions options, std::unique_ptr<Image> image, BlockInfo info)
    : options_(std::move(options)), image_(std::move(image)), info_(std::move(info)), size_(info_.size) {}

Backend::~Backend() { finish(); }

BlockInfo Backend::info() const {
  BlockInfo info = info_;
  info.size = size_.load(std::memory_order_relaxed);
  return info;
}

Result<std::unique_ptr<BlockQueue>> Backend::open_queue(EventLoop& loop) {
  auto file = TRY(options_.file->open_queue(loop));
  std::unique_ptr<BlockQueue> backing;
  if (options_.backing) {
    backing = TRY(options_.backing->open_queue(loop));
  }
  return std::make_unique<Queue>(*this, loop, std::move(file), std::move(backing));
}

Queue* Backend::home_for(Queue& queue) {
  const Lock lock(mutex_);
  if (home_ == nullptr) {
    home_ = &queue;
    image_->move_in(queue.loop(), queue.file(), queue.backing());
  }
  return home_;
}

// Queues go when nothing is in flight on any.
void Backend::leave(Queue& queue) {
  const Lock lock(mutex_);
  if (home_ == &queue) {
    image_->move_out();
    home_ = nullptr;
  }
}

void Backend::finish() {
  if (std::exchange(finished_, true) || info_.read_only) {
    return;
  }
  auto alone = Alone::create(*options_.file);
  int error = EIO;
  if (alone) {
    image_->move_in((*alone)->loop(), (*alone)->queue(), nullptr);
    error = (*alone)->wait(image_->finish());
    image_->move_out();
  }
  if (error != 0) {
    log_error("block", "{}: what was not flushed may be missing: {}", info_.description,
              alone ? std::generic_category().message(error) : alone.error().message);
  }
}

void Backend::give_up() {
  finish();
  options_.file->give_up();
  if (options_.backing) {
    options_.backing->give_up();
  }
}

int Backend::grow(uint64_t size) {
  Queue* home = nullptr;
  {
    const Lock lock(mutex_);
    home = home_;
  }
  if (home == nullptr) {
    auto alone = Alone::create(*options_.file);
    if (!alone) {
      return EIO;
    }
    image_->move_in((*alone)->loop(), (*alone)->queue(), nullptr);
    const int error = (*alone)->wait(image_->grow(size));
    image_->move_out();
    return error;
  }
  std::promise<int> outcome;
  home->loop().post([&] { start(image_->grow(size), [&](int error) { outcome.set_value(error); }); });
  return outcome.get_future().get();
}

Result<void> Backend::resize(uint64_t size) {
  if (size == 0) {
    return {};  // a qcow2 image changes its size by us alone
  }
  if (size % info_.logical_block != 0) {
    return fail("cannot resize {} to {} bytes: not a multiple of {}", info_.description, size, info_.logical_block);
  }
  if (info_.read_only) {
    return fail("cannot resize {}: the disk is read-only", info_.description);
  }
  if (size < size_.load()) {
    return fail("cannot resize {} to {} bytes: it has {}, and a qcow2 image does not shrink while it is used",
                info_.description, size, size_.load());
  }
  if (const int error = grow(size); error == EFBIG) {
    return fail("cannot resize {} to {} bytes: its L1 table has no room; use qemu-img resize while the guest is off",
                info_.description, size);
  } else if (error != 0) {
    return fail_errno(error, "cannot resize {} to {} bytes", info_.description, size);
  }
  size_.store(size);
  return {};
}

}  // namespace lodge::qcow2
