// Creation, capabilities, saved state and doorbells of VirtioPci.
#include "devices/virtio/transport_pci.h"

#include <sys/eventfd.h>
#include <algorithm>
#include <cassert>

#include "devices/pci/registers.h"
#include "devices/virtio/transport_layout.h"

namespace lodge {
namespace {

using namespace virtio_pci;

PciIdentity identity_of(const VirtioPci::Options& options, const VirtioDevice& device) {
  PciIdentity identity;
  identity.vendor = 0x1AF4;
  identity.class_code = options.companion != nullptr ? options.companion->class_code() : device.pci_class();
  identity.subsystem_vendor = 0x1AF4;
  if (options.transitional || options.legacy_only) {
    // Transitional ids are numbered by hand (section 4.1.2.1); the subsystem carries the virtio id.
    switch (device.virtio_id()) {
      case 1: identity.device = 0x1000; break;
      case 2: identity.device = 0x1001; break;
      case 5: identity.device = 0x1002; break;
      case 3: identity.device = 0x1003; break;
      case 4: identity.device = 0x1005; break;
      default: identity.device = static_cast<uint16_t>(0x1040 + device.virtio_id()); break;
    }
    identity.subsystem = device.virtio_id();
  } else {
    identity.device = static_cast<uint16_t>(0x1040 + device.virtio_id());
    identity.subsystem = 0x1100;
    identity.revision = 1;
  }
  return identity;
}

}  // namespace

VirtioPci::VirtioPci(const Options& options, std::unique_ptr<VirtioDevice> device, const DeviceEnv& env)
    : PciFunction(options.id, identity_of(options, *device), env),
      options_(options),
      device_(std::move(device)),
      queues_(device_->queue_sizes().size()) {}

VirtioPci::~VirtioPci() { reset_pci(); }

Result<std::shared_ptr<VirtioPci>> VirtioPci::create(const Options& options, std::unique_ptr<VirtioDevice> device,
                                                     const DeviceEnv& env, const StateReader* saved) {
  std::shared_ptr<VirtioPci> self(new VirtioPci(options, std::move(device), env));
  TRY_VOID_CONTEXT(self->set_up(saved), options.id);
  return self;
}

Result<void> VirtioPci::set_up(const StateReader* saved) {
  const auto sizes = device_->queue_sizes();
  for (uint16_t i = 0, count = static_cast<uint16_t>(sizes.size()); i < count; ++i) {
    Queue& queue = queues_[i];
    queue.registers.size = sizes[i];
    // Blocking: the ring's read waits on it. Nobody else reads it, apart from vhost, which polls.
    queue.kick = Fd(::eventfd(0, EFD_CLOEXEC));
    if (!queue.kick.valid()) {
      return fail_errno(errno, "create the doorbell of queue {}", i);
    }
    const uint16_t group = device_->loop_group(i);
    while (group_loops_.size() <= group) {
      group_loops_.push_back(&env_.loops.pick());
    }
    queue.loop = group_loops_[group];
  }
  PciState pci_saved;
  VirtioTransportState transport_saved;
  if (saved != nullptr) {
    pci_saved = TRY(saved->get<PciState>(options_.id));
    transport_saved = TRY(saved->get<VirtioTransportState>(options_.id));
  }
  const auto vectors = static_cast<uint16_t>(sizes.size() + 1);
  TRY_VOID(add_msix(kMsixBar, vectors, saved != nullptr ? &pci_saved.msix : nullptr));
  if (options_.transitional || options_.legacy_only) {
    add_bar(kLegacyBar, BarKind::io, kLegacyBarSize, unowned(legacy_window_));
  }
  if (!options_.legacy_only) {
    add_modern_capabilities();
    add_bar(kModernBar, BarKind::memory64, kModernBarSize, unowned(modern_window_));
  }
  if (options_.companion != nullptr) {
    assert(!options_.transitional && !options_.legacy_only);
    for (PciCompanion::Bar& bar : options_.companion->bars()) {
      add_bar(bar.index, BarKind::memory32, bar.size, std::move(bar.handler));
    }
  }
  device_->attach(*this);
  if (saved != nullptr) {
    TRY_VOID(load(transport_saved));
    TRY_VOID(load_pci(pci_saved));
  }
  return {};
}

void VirtioPci::add_modern_capabilities() {
  const auto body_of = [](uint8_t type, uint64_t offset, uint64_t length, std::span<const uint8_t> extra = {}) {
    std::vector<uint8_t> body(14 + extra.size());
    body[0] = static_cast<uint8_t>(body.size() + 2);
    body[1] = type;
    body[2] = kModernBar;
    for (size_t i = 0; i < 4; ++i) {
      body[6 + i] = static_cast<uint8_t>(offset >> (8 * i));
      body[10 + i] = static_cast<uint8_t>(length >> (8 * i));
    }
    std::ranges::copy(extra, body.begin() + 14);
    return body;
  };
  const uint8_t step[4] = {kNotifyStep, 0, 0, 0};
  add_capability(pci::kCapVendor, body_of(kCapCommon, kCommonAt, kCommonSize));
  add_capability(pci::kCapVendor, body_of(kCapIsr, kIsrAt, 1));
  add_capability(pci::kCapVendor, body_of(kCapDevice, kDeviceAt, kDeviceSize));
  add_capability(pci::kCapVendor, body_of(kCapNotify, kNotifyAt, kNotifySize, step));
  // The access window: BAR, offset, length and four bytes of data, all set by the driver.
  const uint8_t data[4] = {};
  std::vector<uint8_t> writable(18);
  writable[2] = 0xFF;
  std::fill(writable.begin() + 6, writable.end(), uint8_t{0xFF});
  access_capability_ = add_capability(pci::kCapVendor, body_of(kCapPciAccess, 0, 0, data), writable);
}

uint64_t VirtioPci::offered(bool legacy) const {
  uint64_t features = device_->offered_features();
  if (options_.indirect) {
    features |= kVirtioIndirectDesc;
  }
  if (options_.event_index) {
    features |= kVirtioEventIdx;
  }
  if (legacy) {
    return (features | kVirtioAnyLayout) & UINT32_MAX;
  }
  features |= kVirtioVersion1;
  if (options_.packed_ring) {
    features |= kVirtioRingPacked;
  }
  return features;
}

Result<void> VirtioPci::load(const VirtioTransportState& saved) {
  if (saved.queues.size() != queues_.size()) {
    return fail("the saved state has {} queues, the device has {}", saved.queues.size(), queues_.size());
  }
  // Before FEATURES_OK the register holds whatever the driver wrote.
  const bool agreed = saved.legacy || (saved.status & (kStatusFeaturesOk | kStatusDriverOk)) != 0;
  if (agreed && (saved.driver_features & ~offered(saved.legacy)) != 0) {
    return fail("the saved driver uses features {:#x} that this device does not offer",
                saved.driver_features & ~offered(saved.legacy));
  }
  const auto sizes = device_->queue_sizes();
  const Lock lock(registers_);
  state_ = saved;
  state_.queues.clear();
  isr_ = saved.isr;
  for (size_t i = 0; i < queues_.size(); ++i) {
    const QueueState& queue = saved.queues[i];
    if (queue.size > sizes[i] || queue.pending.size() > queue.size) {
      return fail("saved queue {} has size {}, the device allows {}", i, queue.size, sizes[i]);
    }
    queues_[i].registers = queue;
    queues_[i].vector = queue.vector;
  }
  if ((saved.status & kStatusDriverOk) != 0) {
    phase_ = Phase::parked;  // resume() starts the queues
  }
  return {};
}

void VirtioPci::save(StateWriter& out) const {
  {
    const Lock lock(registers_);
    VirtioTransportState state = state_;
    state.isr = isr_.load();
    for (const Queue& queue : queues_) {
      state.queues.push_back(queue.registers);
      state.queues.back().vector = queue.vector;
    }
    out.put(options_.id, state);
  }
  out.put(options_.id, pci_state());
  device_->save(options_.id, out);
  if (options_.companion != nullptr) {
    options_.companion->save(out);
  }
}

std::vector<Doorbells::Bell> VirtioPci::bells(uint8_t bar, uint64_t base) const {
  std::vector<Doorbells::Bell> list;
  for (uint64_t i = 0; i < queues_.size(); ++i) {
    if (bar == kModernBar) {
      list.push_back({.port = false, .address = base + kNotifyAt + i * kNotifyStep, .size = 0, .match = false, .value = 0});
    } else if (bar == kLegacyBar) {
      list.push_back({.port = true, .address = base + kLegacyNotify, .size = 2, .match = true, .value = i});
    }
  }
  return list;
}

void VirtioPci::bar_mapped(uint8_t index, uint64_t base) {
  if (options_.companion != nullptr) {
    options_.companion->bar_mapped(index, base);
  }
  const auto list = bells(index, base);
  for (size_t i = 0; i < list.size(); ++i) {
    if (const auto outcome = env_.doorbells.add(list[i], queues_[i].kick.get()); !outcome) {
      // Kicks still arrive, through the register handler.
      guest_warning(warnings_, options_.id, "queue {} has no doorbell: {}", i, outcome.error().message);
    }
  }
}

void VirtioPci::bar_unmapped(uint8_t index, uint64_t base) {
  if (options_.companion != nullptr) {
    options_.companion->bar_unmapped(index, base);
  }
  const auto list = bells(index, base);
  for (size_t i = 0; i < list.size(); ++i) {
    env_.doorbells.remove(list[i], queues_[i].kick.get());
  }
}

bool VirtioPci::special_config_read(uint16_t offset, uint8_t size, uint32_t& value) {
  if (access_capability_ == 0 || offset < access_capability_ + 16 || offset + size > access_capability_ + 20) {
    return false;
  }
  uint32_t at = 0;
  uint32_t length = 0;
  for (unsigned i = 0; i < 4; ++i) {
    at |= uint32_t{config_byte(static_cast<uint16_t>(access_capability_ + 8 + i))} << (8 * i);
    length |= uint32_t{config_byte(static_cast<uint16_t>(access_capability_ + 12 + i))} << (8 * i);
  }
  const bool valid = config_byte(static_cast<uint16_t>(access_capability_ + 4)) == kModernBar &&
                     (length == 1 || length == 2 || length == 4) && range_fits(at, length, kModernBarSize);
  value = valid ? static_cast<uint32_t>(modern_read(at, static_cast<uint8_t>(length))) : 0;
  return true;
}

void VirtioPci::special_config_write(uint16_t offset, uint8_t size) {
  if (access_capability_ == 0 || offset < access_capability_ + 16 || offset + size > access_capability_ + 20) {
    return;
  }
  uint32_t fields[3] = {};  // offset, length, data
  for (unsigned i = 0; i < 12; ++i) {
    fields[i / 4] |= uint32_t{config_byte(static_cast<uint16_t>(access_capability_ + 8 + i))} << (8 * (i % 4));
  }
  const bool valid = config_byte(static_cast<uint16_t>(access_capability_ + 4)) == kModernBar &&
                     (fields[1] == 1 || fields[1] == 2 || fields[1] == 4) &&
                     range_fits(fields[0], fields[1], kModernBarSize);
  if (valid) {
    modern_write(fields[0], static_cast<uint8_t>(fields[1]), fields[2]);
  }
}

}  // namespace lodge
