// The modern register window of VirtioPci (virtio 1.2 section 4.1.4), and what both windows share.
#include <unistd.h>
#include <bit>

#include "devices/virtio/transport_layout.h"
#include "devices/virtio/transport_pci.h"

namespace lodge {

using namespace virtio_pci;

uint64_t VirtioPci::Window::io_read(IoAccess access) {
  return legacy_ ? owner_.legacy_read(access.offset, access.size) : owner_.modern_read(access.offset, access.size);
}

void VirtioPci::Window::io_write(IoAccess access, uint64_t value) {
  if (legacy_) {
    owner_.legacy_write(access.offset, access.size, value);
  } else {
    owner_.modern_write(access.offset, access.size, value);
  }
}

VirtioPci::Queue* VirtioPci::selected() {
  return state_.queue_select < queues_.size() ? &queues_[state_.queue_select] : nullptr;
}

// Queues are set up before DRIVER_OK and not while an old life is still draining.
bool VirtioPci::may_configure() const { return phase_ == Phase::idle && (state_.status & kStatusDriverOk) == 0; }

uint64_t VirtioPci::modern_read(uint64_t offset, uint8_t size) {
  if (offset < kCommonAt + kCommonSize) {
    const Lock lock(registers_);
    return truncate_to(common_read(offset, size), size);
  }
  if (offset == kIsrAt) {
    return take_isr();
  }
  if (offset >= kDeviceAt && offset < kDeviceAt + kDeviceSize) {
    return device_config_read(offset - kDeviceAt, size);
  }
  return 0;
}

void VirtioPci::modern_write(uint64_t offset, uint8_t size, uint64_t value) {
  if (offset < kCommonAt + kCommonSize) {
    Action action = Action::none;
    {
      const Lock lock(registers_);
      action = common_write(offset, size, truncate_to(value, size));
    }
    perform(action);
  } else if (offset >= kDeviceAt && offset < kDeviceAt + kDeviceSize) {
    device_config_write(offset - kDeviceAt, size, value);
  } else if (offset >= kNotifyAt && offset < kNotifyAt + kNotifySize) {
    notify((offset - kNotifyAt) / kNotifyStep);
  }
}

uint64_t VirtioPci::common_read(uint64_t offset, uint8_t size) {
  Queue* queue = selected();
  const uint64_t features = offered(false);
  switch (offset) {
    case kDeviceFeatureSelect: return state_.device_feature_select;
    case kDeviceFeature: return state_.device_feature_select < 2 ? features >> (32 * state_.device_feature_select) : 0;
    case kDriverFeatureSelect: return state_.driver_feature_select;
    case kDriverFeature:
      return state_.driver_feature_select < 2 ? state_.driver_features >> (32 * state_.driver_feature_select) : 0;
    case kConfigVector: return state_.config_vector;
    case kQueueCount: return queues_.size();
    case kStatus: return state_.status;
    case kGeneration: return state_.generation;
    case kQueueSelect: return state_.queue_select;
    default: break;
  }
  if (queue == nullptr) {
    return 0;
  }
  const QueueState& registers = queue->registers;
  switch (offset) {
    case kQueueSize: return registers.size;
    case kQueueVector: return queue->vector;
    case kQueueEnable: return registers.enabled ? 1 : 0;
    case kQueueNotifyOff: return state_.queue_select;
    case kQueueDescriptors: return registers.descriptors;
    case kQueueDescriptors + 4: return registers.descriptors >> 32;
    case kQueueDriver: return registers.driver;
    case kQueueDriver + 4: return registers.driver >> 32;
    case kQueueDevice: return registers.device;
    case kQueueDevice + 4: return registers.device >> 32;
    default: break;
  }
  (void)size;
  return 0;
}

VirtioPci::Action VirtioPci::common_write(uint64_t offset, uint8_t size, uint64_t value) {
  switch (offset) {
    case kDeviceFeatureSelect: state_.device_feature_select = static_cast<uint32_t>(value); return Action::none;
    case kDriverFeatureSelect: state_.driver_feature_select = static_cast<uint32_t>(value); return Action::none;
    case kDriverFeature:
      if (state_.driver_feature_select < 2 && may_configure() && (state_.status & kStatusFeaturesOk) == 0) {
        const unsigned shift = 32 * state_.driver_feature_select;
        state_.driver_features = (state_.driver_features & ~(uint64_t{UINT32_MAX} << shift)) | (value << shift);
      }
      return Action::none;
    case kConfigVector:
      state_.config_vector = value < msix()->vectors() ? static_cast<uint16_t>(value) : kNoVector;
      return Action::none;
    case kStatus: return write_status(static_cast<uint8_t>(value));
    case kQueueSelect: state_.queue_select = static_cast<uint16_t>(value); return Action::none;
    default: write_queue_register(offset, size, value); return Action::none;
  }
}

void VirtioPci::write_queue_register(uint64_t offset, uint8_t size, uint64_t value) {
  Queue* queue = selected();
  if (queue == nullptr || size < 2) {
    return;
  }
  if (offset == kQueueVector) {
    queue->vector = value < msix()->vectors() ? static_cast<uint16_t>(value) : kNoVector;
    return;
  }
  if (!may_configure()) {
    guest_warning(warnings_, options_.id, "queue {} is changed while the device runs", state_.queue_select);
    return;
  }
  const auto set = [size, value](uint64_t& target, bool upper) {
    if (size == 8) {
      target = value;
    } else if (upper) {
      target = (target & UINT32_MAX) | (value << 32);
    } else {
      target = (target & ~uint64_t{UINT32_MAX}) | value;
    }
  };
  QueueState& registers = queue->registers;
  switch (offset) {
    case kQueueSize: {
      const uint16_t most = device_->queue_sizes()[state_.queue_select];
      const bool packed = (state_.driver_features & kVirtioRingPacked) != 0;
      if (value == 0 || value > most || (!packed && !std::has_single_bit(value))) {
        guest_warning(warnings_, options_.id, "queue size {} is not allowed (at most {})", value, most);
        return;
      }
      registers.size = static_cast<uint16_t>(value);
      return;
    }
    case kQueueEnable: registers.enabled = registers.enabled || value == 1; return;
    case kQueueDescriptors: set(registers.descriptors, false); return;
    case kQueueDescriptors + 4: set(registers.descriptors, true); return;
    case kQueueDriver: set(registers.driver, false); return;
    case kQueueDriver + 4: set(registers.driver, true); return;
    case kQueueDevice: set(registers.device, false); return;
    case kQueueDevice + 4: set(registers.device, true); return;
    default: return;
  }
}

VirtioPci::Action VirtioPci::write_status(uint8_t value) {
  if (value == 0) {
    switch (phase_) {
      case Phase::running:
        reset_wanted_ = true;
        phase_ = Phase::stopping;
        return Action::stop;
      case Phase::starting:
      case Phase::stopping:
        reset_wanted_ = true;  // whoever ends this phase sees to it
        return Action::none;
      case Phase::idle:
      case Phase::parked: break;
    }
    clear_registers();
    phase_ = Phase::idle;
    return Action::none;
  }
  if (reset_wanted_) {
    return Action::none;  // the old life is not over
  }
  const bool legacy = state_.legacy;
  uint8_t status = value;
  const auto newly = static_cast<uint8_t>(value & ~state_.status);
  if (!legacy && (newly & kStatusFeaturesOk) != 0) {
    const bool acceptable =
        (state_.driver_features & ~offered(false)) == 0 && (state_.driver_features & kVirtioVersion1) != 0;
    if (!acceptable) {
      guest_warning(warnings_, options_.id, "the driver asks for features {:#x}, offered are {:#x}", state_.driver_features,
                    offered(false));
      status &= static_cast<uint8_t>(~kStatusFeaturesOk);
    }
  }
  if ((newly & kStatusDriverOk) != 0 && !legacy && (status & kStatusFeaturesOk) == 0) {
    guest_warning(warnings_, options_.id, "DRIVER_OK before FEATURES_OK is ignored");
    status &= static_cast<uint8_t>(~kStatusDriverOk);
  }
  // Only a reset takes DRIVER_OK away (virtio 1.2, 2.1.1: the driver must not clear a bit): what runs must be seen to run.
  const auto kept = static_cast<uint8_t>(phase_ == Phase::idle ? kStatusNeedsReset : kStatusNeedsReset | kStatusDriverOk);
  state_.status = static_cast<uint8_t>(status | (state_.status & kept));
  if ((newly & status & kStatusDriverOk) != 0 && phase_ == Phase::idle) {
    phase_ = Phase::starting;
    return Action::start;
  }
  return Action::none;
}

uint64_t VirtioPci::device_config_read(uint64_t offset, uint8_t size) {
  std::array<std::byte, 8> bytes{};
  device_->read_config(static_cast<uint32_t>(offset), std::span(bytes).first(size));
  return load_le<uint64_t>(bytes);
}

void VirtioPci::device_config_write(uint64_t offset, uint8_t size, uint64_t value) {
  device_->write_config(static_cast<uint32_t>(offset), bytes_of(value).first(size));
}

uint8_t VirtioPci::take_isr() {
  const uint8_t bits = isr_.exchange(0);
  set_intx(false);
  if (isr_.load() != 0) {
    set_intx(true);  // another interrupt came between the two steps
  }
  return bits;
}

void VirtioPci::notify(uint64_t queue) {
  if (queue < queues_.size()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(queues_[queue].kick.get(), &one, sizeof one);
  }
}

}  // namespace lodge
