// The 0.9 register window of VirtioPci (virtio 1.2 section 4.1.4.10), for drivers from before virtio 1.0.
#include "devices/virtio/transport_layout.h"
#include "devices/virtio/transport_pci.h"

namespace lodge {

using namespace virtio_pci;

namespace {
constexpr uint64_t kLegacyAlign = 4096;
}  // namespace

uint64_t VirtioPci::legacy_read(uint64_t offset, uint8_t size) {
  const bool vectors = msix()->enabled();
  const uint64_t config_at = vectors ? 0x18 : 0x14;
  if (offset >= config_at) {
    return device_config_read(offset - config_at, size);
  }
  if (offset == kLegacyIsr) {
    return take_isr();
  }
  const Lock lock(registers_);
  Queue* queue = selected();
  switch (offset) {
    case kLegacyDeviceFeatures: return truncate_to(offered(true), size);
    case kLegacyDriverFeatures: return truncate_to(state_.driver_features, size);
    case kLegacyQueuePage: return queue != nullptr ? queue->registers.descriptors / kLegacyAlign : 0;
    case kLegacyQueueSize: return queue != nullptr ? device_->queue_sizes()[state_.queue_select] : 0;
    case kLegacyQueueSelect: return state_.queue_select;
    case kLegacyStatus: return state_.status;
    case kLegacyConfigVector: return state_.config_vector;
    case kLegacyQueueVector: return queue != nullptr ? queue->vector.load() : kNoVector;
    default: return 0;
  }
}

void VirtioPci::legacy_write(uint64_t offset, uint8_t size, uint64_t value) {
  value = truncate_to(value, size);
  const uint64_t config_at = msix()->enabled() ? 0x18 : 0x14;
  if (offset >= config_at) {
    device_config_write(offset - config_at, size, value);
    return;
  }
  if (offset == kLegacyNotify) {
    notify(value);
    return;
  }
  Action action = Action::none;
  {
    const Lock lock(registers_);
    action = legacy_register_write(offset, size, value);
  }
  perform(action);
  if (offset == kLegacyStatus && value == 0) {
    // This driver reuses its rings as soon as the write returns, so it must not return while requests are in flight.
    std::unique_lock wait(idle_mutex_);
    idle_.wait(wait, [this] {
      const Lock lock(registers_);
      return !reset_wanted_;
    });
  }
}

VirtioPci::Action VirtioPci::legacy_register_write(uint64_t offset, uint8_t size, uint64_t value) {
  (void)size;
  Queue* queue = selected();
  switch (offset) {
    case kLegacyDriverFeatures:
      if (may_configure()) {
        state_.driver_features = value & offered(true);
      }
      break;
    case kLegacyQueuePage:
      if (queue != nullptr && may_configure()) {
        legacy_queue_pfn(static_cast<uint32_t>(value));
      }
      break;
    case kLegacyQueueSelect: state_.queue_select = static_cast<uint16_t>(value); break;
    case kLegacyStatus: state_.legacy = value != 0; return write_status(static_cast<uint8_t>(value));
    case kLegacyConfigVector:
      state_.config_vector = value < msix()->vectors() ? static_cast<uint16_t>(value) : kNoVector;
      break;
    case kLegacyQueueVector:
      if (queue != nullptr) {
        queue->vector = value < msix()->vectors() ? static_cast<uint16_t>(value) : kNoVector;
      }
      break;
    default: break;
  }
  return Action::none;
}

void VirtioPci::legacy_queue_pfn(uint32_t page) {
  QueueState& registers = queues_[state_.queue_select].registers;
  registers.size = device_->queue_sizes()[state_.queue_select];
  registers.enabled = page != 0;
  registers.descriptors = uint64_t{page} * kLegacyAlign;
  registers.driver = registers.descriptors + uint64_t{registers.size} * 16;
  registers.device = align_up(registers.driver + 6 + uint64_t{registers.size} * 2, kLegacyAlign);
}

}  // namespace lodge
