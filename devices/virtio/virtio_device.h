// VirtioDevice: what a device type implements. The transport (transport_pci) owns features, status, the rings and their
// interrupts; a device sees negotiated features, running queues and bounded config accesses only.
//
// Life: attach -> (activate -> start_queue* -> kick* ... -> stop_queue* -> [reset])*. Queues of one loop group share an
// event loop; calls that name a queue run on that queue's loop. A stopped queue may start again without reset (pause and
// resume).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/state/record.h"
#include "devices/core/device.h"
#include "devices/virtio/queue.h"

namespace lodge {

// Feature bits of the transport (virtio 1.2 section 6) that devices may look at.
inline constexpr uint64_t kVirtioNotifyOnEmpty = 1ULL << 24;
inline constexpr uint64_t kVirtioAnyLayout = 1ULL << 27;
inline constexpr uint64_t kVirtioIndirectDesc = 1ULL << 28;
inline constexpr uint64_t kVirtioEventIdx = 1ULL << 29;
inline constexpr uint64_t kVirtioVersion1 = 1ULL << 32;
inline constexpr uint64_t kVirtioAccessPlatform = 1ULL << 33;
inline constexpr uint64_t kVirtioRingPacked = 1ULL << 34;
inline constexpr uint64_t kVirtioInOrder = 1ULL << 35;

// What a device may ask of the transport that carries it. Any thread.
class VirtioTransport {
 public:
  virtual ~VirtioTransport() = default;
  // The config space changed: bumps the generation and interrupts the driver.
  virtual void notify_config() = 0;
  // The guest broke the protocol beyond repair: sets DEVICE_NEEDS_RESET.
  virtual void set_needs_reset() = 0;
  // For queues served by the kernel (vhost): descriptors that carry kicks and interrupts of a running queue.
  [[nodiscard]] virtual int queue_kick_fd(uint16_t queue) = 0;
  [[nodiscard]] virtual int queue_call_fd(uint16_t queue) = 0;
};

struct Activation {
  GuestMemory& memory;
  uint64_t features = 0;  // negotiated; a subset of what was offered
};

class VirtioDevice {
 public:
  using Done = std::function<void()>;
  virtual ~VirtioDevice() = default;

  [[nodiscard]] virtual uint16_t virtio_id() const = 0;                     // virtio 1.2 section 5: 1 net, 2 block, ...
  [[nodiscard]] virtual uint32_t pci_class() const = 0;                     // 24 bits: class, subclass, interface
  [[nodiscard]] virtual uint64_t offered_features() const = 0;              // device bits only; the transport adds its own
  [[nodiscard]] virtual std::span<const uint16_t> queue_sizes() const = 0;  // the largest size of each queue
  // Queues with the same group number run on the same loop.
  [[nodiscard]] virtual uint16_t loop_group(uint16_t /*queue*/) const { return 0; }
  // The queue's rings are served by the kernel: no kick() comes.
  [[nodiscard]] virtual bool in_kernel(uint16_t /*queue*/) const { return false; }

  // Device-specific configuration, from any vCPU thread. Reads past the end give zeros, writes past it nothing.
  virtual void read_config(uint32_t offset, std::span<std::byte> to) = 0;
  virtual void write_config(uint32_t /*offset*/, std::span<const std::byte> /*from*/) {}

  // Once, right after creation, on the control thread.
  virtual void attach(VirtioTransport& transport) = 0;
  // DRIVER_OK (also after restore): before any start_queue, on a vCPU thread or control.
  virtual void activate(const Activation& activation) = 0;
  virtual void start_queue(Virtqueue& queue) = 0;
  // There may be work: after a driver's kick, and once after start_queue.
  virtual void kick(Virtqueue& queue) = 0;
  // Take no more work; `done` (on the same loop) once nothing of this queue is in flight. Requests that wait for the
  // administrator (I/O error policy "stop") are given back to the queue.
  virtual void stop_queue(Virtqueue& queue, Done done) = 0;
  // All queues are stopped and gone; back to the power-on state. Any thread.
  virtual void reset() = 0;
  // While stopped: state beyond the queues, which the transport saves. `id` is the device's.
  virtual void save(std::string_view id, StateWriter& out) const = 0;
  [[nodiscard]] virtual std::vector<Counter> counters() const { return {}; }
};

// Copies a window of a config struct: the body of most read_config() functions.
inline void copy_config(std::span<const std::byte> config, uint32_t offset, std::span<std::byte> to) {
  for (size_t i = 0; i < to.size(); ++i) {
    to[i] = offset + i < config.size() ? config[offset + i] : std::byte{0};
  }
}

}  // namespace lodge
