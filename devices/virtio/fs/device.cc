#include "devices/virtio/fs/device.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace lodge {
namespace {

struct FsConfig {
  std::array<char, VirtioFs::kTagSize> tag;
  uint32_t request_queues;
};
static_assert(sizeof(FsConfig) == 40);

}  // namespace

VirtioFs::VirtioFs(Options options)
    : options_(std::move(options)), sizes_(1U + options_.queues, options_.queue_size), runs_(sizes_.size(), false) {}

Result<std::unique_ptr<VirtioFs>> VirtioFs::create(Options options, const StateReader* saved) {
  if (options.tag.empty() || options.tag.size() > kTagSize) {
    return fail("filesystem '{}': the tag '{}' must have 1 to {} bytes", options.id, options.tag, kTagSize);
  }
  if (options.queues == 0 || options.queues > kMaxRequestQueues) {
    return fail("filesystem '{}': {} queues; use 1 to {}", options.id, options.queues, kMaxRequestQueues);
  }
  if (saved != nullptr) {
    const auto state = TRY(saved->get<VirtioFsState>(options.id));
    if (state.tag != options.tag) {
      return fail("filesystem '{}' had the tag '{}', not '{}'", options.id, state.tag, options.tag);
    }
  }
  return std::unique_ptr<VirtioFs>(new VirtioFs(std::move(options)));
}

void VirtioFs::read_config(uint32_t offset, std::span<std::byte> to) {
  FsConfig config{};
  std::ranges::copy(options_.tag, config.tag.begin());
  config.request_queues = options_.queues;
  copy_config(bytes_of(config), offset, to);
}

void VirtioFs::start_queue(Virtqueue& queue) {
  if (lost_) {
    transport_->set_needs_reset();
    return;
  }
  if (options_.backend == nullptr) {
    return;
  }
  if (const auto started = start_ring(queue); !started) {
    lose(started.error());
  }
}

Result<void> VirtioFs::start_ring(Virtqueue& queue) {
  VhostUser& backend = *options_.backend;
  const uint16_t index = queue.index();
  if (!watch_.active()) {
    TRY_VOID(backend.set_features(features_));
    watch_ = queue.loop().on_readable(backend.fd(), [this] { readable(); });
  }
  const QueueState state = queue.state();
  const VhostRing place{state.size, state.next_avail, state.descriptors, state.driver, state.device};
  TRY_VOID(
      backend.start_ring(index, place, queue.memory(), transport_->queue_kick_fd(index), transport_->queue_call_fd(index)));
  runs_[index] = true;
  const uint64_t one = 1;  // what the guest has announced while nobody listened
  if (::write(transport_->queue_kick_fd(index), &one, sizeof one) != sizeof one) {
    return fail_errno(errno, "filesystem '{}': kick ring {}", options_.id, index);
  }
  return {};
}

void VirtioFs::stop_queue(Virtqueue& queue, Done done) {
  if (!runs_[queue.index()]) {
    done();
    return;
  }
  stops_.push_back({&queue, std::move(done)});
  if (const auto asked = options_.backend->stop_ring(queue.index()); !asked) {
    lose(asked.error());
    return;
  }
  if (stops_.size() == 1) {
    wait_for_stop(queue.loop());
  }
}

void VirtioFs::wait_for_stop(EventLoop& loop) {
  timer_ = loop.after(options_.patience, [this] {
    lose(Error{fmt::format("filesystem '{}': the vhost-user back-end has not stopped in {} ms", options_.id,
                           options_.patience.count()),
               0});
  });
}

void VirtioFs::readable() {
  if (lost_ || !options_.backend) {
    return;
  }
  if (stops_.empty()) {
    lose(options_.backend->unexpected_input());
    return;
  }
  const auto position = options_.backend->take_position(stops_.front().queue->index());
  if (!position) {
    lose(position.error());
    return;
  }
  if (!position->has_value()) {
    return;
  }
  const Stop stopped = std::move(stops_.front());
  stops_.pop_front();
  stopped.queue->set_next(**position);
  runs_[stopped.queue->index()] = false;
  if (stops_.empty()) {
    timer_.reset();
  } else {
    wait_for_stop(stopped.queue->loop());
  }
  if (std::ranges::find(runs_, true) == runs_.end()) {
    watch_.reset();
  }
  stopped.done();
}

void VirtioFs::lose(const Error& error) {
  log_error(options_.id, "{}; nobody serves the filesystem until the guest is started anew", error.message);
  lost_ = true;
  watch_.reset();
  timer_.reset();
  options_.backend.reset();
  runs_.assign(runs_.size(), false);
  transport_->set_needs_reset();
  for (const Stop& stop : std::exchange(stops_, {})) {
    stop.done();
  }
}

}  // namespace lodge
