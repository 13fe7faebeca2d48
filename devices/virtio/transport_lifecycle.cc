// Starting and stopping the queues of VirtioPci, and its interrupts. docs/threads.md explains who may wait for whom.
#include "devices/virtio/transport_layout.h"
#include "devices/virtio/transport_pci.h"

namespace lodge {

using namespace virtio_pci;

void VirtioPci::perform(Action action) {
  switch (action) {
    case Action::none: break;
    case Action::start: start_queues(); break;
    case Action::stop: stop_queues(); break;
  }
}

// The phase is `starting`: nobody else starts, stops or configures. A reset or quiesce that comes meanwhile is done at the
// end.
void VirtioPci::start_queues() {
  uint64_t features = 0;
  bool legacy = false;
  {
    const Lock lock(registers_);
    features = state_.driver_features;
    legacy = state_.legacy;
  }
  device_->activate(Activation{env_.memory, features});
  for (uint16_t i = 0, count = static_cast<uint16_t>(queues_.size()); i < count; ++i) {
    Queue& queue = queues_[i];
    if (!queue.registers.enabled) {
      continue;
    }
    const Virtqueue::Options options{.name = fmt::format("{} queue {}", options_.id, i),
                                     .index = i,
                                     .event_index = (features & kVirtioEventIdx) != 0,
                                     .indirect = (features & kVirtioIndirectDesc) != 0,
                                     .packed = !legacy && (features & kVirtioRingPacked) != 0,
                                     .in_order = (features & kVirtioInOrder) != 0};
    auto ring = Virtqueue::create(options, queue.registers, env_.memory, *queue.loop,
                                  [this, &queue] { interrupt(queue.vector.load(std::memory_order_relaxed), kIsrQueue); });
    if (!ring) {
      guest_warning(warnings_, options_.id, "{}", ring.error().message);
      set_needs_reset();
      continue;
    }
    (*ring)->set_on_broken([this] { set_needs_reset(); });
    queue.ring = std::move(*ring);
    queue.live = true;
    queue.loop->post([this, i] {
      Queue& mine = queues_[i];
      if (!mine.ring) {
        return;
      }
      device_->start_queue(*mine.ring);
      if (!device_->in_kernel(i)) {
        mine.watch = mine.loop->on_event(mine.kick.get(), [this, i] { device_->kick(*queues_[i].ring); });
        device_->kick(*mine.ring);
      }
    });
  }
  bool stop = false;
  {
    const Lock lock(registers_);
    stop = reset_wanted_ || !waiting_.empty();
    phase_ = stop ? Phase::stopping : Phase::running;
  }
  if (stop) {
    stop_queues();
  }
}

// The phase is `stopping`, set by the one caller; it ends in all_stopped().
void VirtioPci::stop_queues() {
  uint32_t live = 0;
  for (const Queue& queue : queues_) {
    live += queue.live ? 1 : 0;
  }
  {
    const Lock lock(registers_);
    stopping_ = live + 1;  // one for this function, so that the end is not reached while we post
  }
  for (Queue& queue : queues_) {
    if (!queue.live) {
      continue;
    }
    queue.loop->post([this, &queue] {
      queue.watch.reset();
      device_->stop_queue(*queue.ring, [this, &queue] {
        // Later, since the device may still be using the ring in the call that told us.
        queue.loop->post([this, &queue] { queue_stopped(queue); });
      });
    });
  }
  all_stopped();
}

void VirtioPci::queue_stopped(Queue& queue) {
  queue.ring->flush();
  const QueueState end = queue.ring->state();
  queue.ring.reset();
  queue.live = false;
  {
    const Lock lock(registers_);
    queue.registers = end;
  }
  all_stopped();
}

void VirtioPci::all_stopped() {
  {
    const Lock lock(registers_);
    if (--stopping_ != 0) {
      return;
    }
  }
  // Still `stopping`: we are the only one who acts. A reset that is wanted after this look finds a parked device.
  bool reset = false;
  {
    const Lock lock(registers_);
    reset = reset_wanted_;
  }
  if (reset) {
    device_->reset();
  }
  std::vector<Done> waiting;
  {
    const std::scoped_lock wait(idle_mutex_);
    const Lock lock(registers_);
    if (std::exchange(reset_wanted_, false)) {
      if (!reset) {
        device_->reset();
      }
      clear_registers();
      phase_ = Phase::idle;
    } else {
      phase_ = Phase::parked;
    }
    waiting.swap(waiting_);
  }
  idle_.notify_all();
  for (const Done& done : waiting) {
    done();
  }
}

void VirtioPci::clear_registers() {
  const auto sizes = device_->queue_sizes();
  const uint8_t generation = state_.generation;
  state_ = VirtioTransportState{};
  state_.generation = generation;
  for (size_t i = 0; i < queues_.size(); ++i) {
    queues_[i].registers = QueueState{};
    queues_[i].registers.size = sizes[i];
    queues_[i].vector = kNoVector;
  }
  isr_ = 0;
  set_intx(false);
}

void VirtioPci::quiesce(Done done) {
  bool at_rest = false;
  bool stop = false;
  {
    const Lock lock(registers_);
    at_rest = phase_ == Phase::idle || phase_ == Phase::parked;
    if (!at_rest) {
      waiting_.push_back(done);
      stop = phase_ == Phase::running;
      if (stop) {
        phase_ = Phase::stopping;
      }
    }
  }
  if (stop) {
    stop_queues();
  } else if (at_rest) {
    done();
  }
}

void VirtioPci::resume() {
  {
    const Lock lock(registers_);
    if (phase_ != Phase::parked) {
      return;
    }
    phase_ = Phase::starting;
  }
  start_queues();
}

// The machine has quiesced us and the vCPUs are stopped.
void VirtioPci::reset() {
  {
    const Lock lock(registers_);
    device_->reset();
    clear_registers();
    phase_ = Phase::idle;
  }
  if (options_.companion != nullptr) {
    options_.companion->reset();
  }
  reset_pci();
}

void VirtioPci::interrupt(uint16_t vector, uint8_t isr_bit) {
  if (msix()->enabled()) {
    if (vector != kNoVector) {
      msix()->trigger(vector);
    }
    return;
  }
  isr_.fetch_or(isr_bit);
  set_intx(true);
}

int VirtioPci::queue_call_fd(uint16_t queue) { return msix()->enabled() ? msix()->event_fd(queues_.at(queue).vector) : -1; }

void VirtioPci::notify_config() {
  uint16_t vector = kNoVector;
  {
    const Lock lock(registers_);
    ++state_.generation;
    if ((state_.status & kStatusDriverOk) == 0) {
      return;
    }
    vector = state_.config_vector;
  }
  interrupt(vector, kIsrConfig);
}

void VirtioPci::set_needs_reset() {
  {
    const Lock lock(registers_);
    if ((state_.status & kStatusNeedsReset) != 0) {
      return;
    }
    state_.status |= kStatusNeedsReset;
  }
  notify_config();
}

}  // namespace lodge
