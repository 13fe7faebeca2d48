#include "devices/virtio/vsock/device.h"

#include <unistd.h>

#include <algorithm>

namespace lodge {
namespace {

constexpr uint64_t kSequencedPackets = 1ULL << 1;  // VIRTIO_VSOCK_F_SEQPACKET

}  // namespace

Result<std::unique_ptr<VirtioVsock>> VirtioVsock::create(Options options, const StateReader* saved) {
  std::unique_ptr<VirtioVsock> self(new VirtioVsock(std::move(options)));
  if (saved != nullptr) {
    TRY(saved->get<VsockState>(self->options_.id));  // the address may have become another one
    self->restored_ = true;
  }
  return self;
}

uint64_t VirtioVsock::offered_features() const {
  return options_.vhost != nullptr ? options_.vhost->features() & kSequencedPackets : 0;
}

void VirtioVsock::read_config(uint32_t offset, std::span<std::byte> to) { copy_config(bytes_of(options_.cid), offset, to); }

void VirtioVsock::activate(const Activation& activation) {
  if (options_.vhost == nullptr) {
    return;
  }
  const uint64_t features = activation.features & options_.vhost->features();
  if (const auto ready = options_.vhost->set_up(features, activation.memory); !ready) {
    guest_warning(warnings_, options_.id, "{}", ready.error().message);
    transport_->set_needs_reset();
  }
}

void VirtioVsock::start_queue(Virtqueue& queue) {
  if (!in_kernel(queue.index())) {
    return;
  }
  if (const auto started = start_ring(queue); !started) {
    guest_warning(warnings_, options_.id, "{}", started.error().message);
    transport_->set_needs_reset();
  }
}

// The kernel runs both or none.
Result<void> VirtioVsock::start_ring(Virtqueue& queue) {
  const uint16_t index = queue.index();
  const QueueState state = queue.state();
  const VhostRing place{state.size, state.next_avail, state.descriptors, state.driver, state.device};
  TRY_VOID(options_.vhost->set_ring(index, place, queue.memory(), transport_->queue_kick_fd(index),
                                    transport_->queue_call_fd(index)));
  set_.at(index) = true;
  if (!std::ranges::all_of(set_, [](bool set) { return set; })) {
    return {};
  }
  TRY_VOID(options_.vhost->run(true));
  running_ = true;
  for (const uint16_t ring : {kReceive, kTransmit}) {  // what the guest has announced while nobody listened
    const uint64_t one = 1;
    if (::write(transport_->queue_kick_fd(ring), &one, sizeof one) != sizeof one) {
      return fail_errno(errno, "kick ring {}", ring);
    }
  }
  return {};
}

void VirtioVsock::kick(Virtqueue& queue) {
  if (queue.index() != kEvents || !restored_.load()) {
    return;
  }
  if (auto chain = queue.pop()) {
    restored_ = false;
    chain->set_written(chain->write(0, bytes_of(kTransportReset)));
  }
}

void VirtioVsock::stop_queue(Virtqueue& queue, Done done) {
  if (in_kernel(queue.index())) {
    if (const auto stopped = stop_ring(queue); !stopped) {
      guest_warning(warnings_, options_.id, "{}", stopped.error().message);
    }
  }
  done();
}

Result<void> VirtioVsock::stop_ring(Virtqueue& queue) {
  const uint16_t index = queue.index();
  if (std::exchange(running_, false)) {
    TRY_VOID(options_.vhost->run(false));
  }
  if (std::exchange(set_.at(index), false)) {
    queue.set_next(TRY(options_.vhost->position(index)));
  }
  return {};
}

void VirtioVsock::reset() { restored_ = false; }

}  // namespace lodge
