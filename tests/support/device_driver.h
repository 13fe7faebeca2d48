// DeviceDriver: the guest's side of one virtio device without a transport: guest memory, split rings that the test fills,
// and the event loop, all on the test's thread. For unit tests and fuzz targets of the devices.
#pragma once

#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "devices/virtio/virtio_device.h"

namespace lodge::test {

class RecordingTransport final : public VirtioTransport {
 public:
  void notify_config() override { ++config_changes; }
  void set_needs_reset() override { needs_reset = true; }
  int queue_kick_fd(uint16_t) override { return -1; }
  int queue_call_fd(uint16_t) override { return -1; }
  std::atomic<int> config_changes{0};
  std::atomic<bool> needs_reset{false};
};

template <class T>
T must(Result<T> result) {
  if (!result) {
    throw std::runtime_error(result.error().message);
  }
  return std::move(*result);
}
inline void must(Result<void> result) {
  if (!result) {
    throw std::runtime_error(result.error().message);
  }
}

struct Buffer {
  Gpa at;
  uint32_t length = 0;
  bool writable = false;
};

struct Used {
  uint16_t head = 0;
  uint32_t written = 0;
};

// One split ring as the driver sees it.
class DriverRing {
 public:
  DriverRing(GuestMemory& memory, Gpa at, uint16_t size) : memory_(memory), size_(size) {
    state_.size = size;
    state_.enabled = true;
    state_.descriptors = at.value;
    state_.driver = at.value + 16ULL * size;
    state_.device = align_up(state_.driver + 6 + 2ULL * size, 4096);
  }
  static uint64_t bytes(uint16_t size) {
    return align_up(16ULL * size + 6 + 2ULL * size, 4096) + align_up(6 + 8ULL * size, 4096);
  }

  // Publishes one chain; returns its head.
  uint16_t add(const std::vector<Buffer>& buffers) {
    const uint16_t head = next_descriptor_;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      const uint16_t index = next_descriptor_;
      next_descriptor_ = static_cast<uint16_t>((next_descriptor_ + 1) % size_);
      struct {
        uint64_t at;
        uint32_t length;
        uint16_t flags;
        uint16_t next;
      } descriptor{buffers[i].at.value, buffers[i].length,
                   static_cast<uint16_t>((last ? 0 : 1) | (buffers[i].writable ? 2 : 0)), next_descriptor_};
      must(memory_.write(Gpa{state_.descriptors + 16ULL * index}, descriptor));
    }
    must(memory_.write(Gpa{state_.driver + 4 + 2ULL * (available_ % size_)}, head));
    ++available_;
    must(memory_.write(Gpa{state_.driver + 2}, available_));
    return head;
  }
  // The next finished chain.
  std::optional<Used> used() {
    if (must(memory_.read<uint16_t>(Gpa{state_.device + 2})) == seen_) {
      return std::nullopt;
    }
    const Gpa entry{state_.device + 4 + 8ULL * (seen_ % size_)};
    ++seen_;
    return Used{static_cast<uint16_t>(must(memory_.read<uint32_t>(entry))),
                must(memory_.read<uint32_t>(Gpa{entry.value + 4}))};
  }

 private:
  friend class DeviceDriver;
  GuestMemory& memory_;
  uint16_t size_;
  QueueState state_;
  uint16_t next_descriptor_ = 0;
  uint16_t available_ = 0;
  uint16_t seen_ = 0;
};

class DeviceDriver {
 public:
  static constexpr uint64_t kMemory = 16 * kMiB;

  explicit DeviceDriver(VirtioDevice& device, uint64_t features, uint16_t ring_size = 64)
      : loop_(must(EventLoop::create("test"))), device_(&device), features_(features) {
    const GuestMemory::Range range{Gpa{0}, kMemory};
    memory_ = must(GuestMemory::create({&range, 1}, {}));
    device.attach(transport_);
    for (size_t i = 0; i < device.queue_sizes().size(); ++i) {
      const uint16_t size = std::min(ring_size, device.queue_sizes()[i]);
      rings_.emplace_back(*memory_, allocate(DriverRing::bytes(size)), size);
    }
  }
  ~DeviceDriver() {
    if (running_) {
      stop();
    }
  }

  EventLoop& loop() { return *loop_; }
  GuestMemory& memory() { return *memory_; }
  DriverRing& ring(size_t index) { return rings_.at(index); }
  RecordingTransport& transport() { return transport_; }
  Virtqueue& queue(size_t index) { return *queues_.at(index); }
  int interrupts(size_t index) const { return interrupts_.at(index); }
  bool running() const { return running_; }

  Gpa allocate(uint64_t bytes) {
    const Gpa at{next_free_};
    next_free_ = align_up(next_free_ + bytes, 4096);
    if (next_free_ > kMemory) {
      throw std::runtime_error("test memory is used up");
    }
    return at;
  }
  Gpa put(std::span<const std::byte> bytes) {
    const Gpa at = allocate(bytes.size());
    must(memory_->write_bytes(at, bytes));
    return at;
  }
  Gpa put(std::string_view text) { return put(std::as_bytes(std::span(text))); }
  std::string get(Gpa at, size_t bytes) {
    std::string text(bytes, '\0');
    must(memory_->read_bytes(at, std::as_writable_bytes(std::span(text))));
    return text;
  }

  void start() {
    device_->activate(Activation{*memory_, features_});
    interrupts_.resize(rings_.size());
    for (size_t i = 0; i < rings_.size(); ++i) {
      Virtqueue::Options options;
      options.name = "test queue " + std::to_string(i);
      options.index = static_cast<uint16_t>(i);
      options.indirect = true;
      queues_.push_back(
          must(Virtqueue::create(options, rings_[i].state_, *memory_, *loop_, [this, i] { ++interrupts_[i]; })));
    }
    running_ = true;
    for (auto& queue : queues_) {
      device_->start_queue(*queue);
      device_->kick(*queue);
    }
  }
  // Returns false when the device did not let go of its queues in time.
  bool stop() {
    size_t stopped = 0;
    for (auto& queue : queues_) {
      device_->stop_queue(*queue, [&stopped] { ++stopped; });
    }
    const bool all = run_until([&] { return stopped == queues_.size(); });
    for (size_t i = 0; i < queues_.size(); ++i) {
      queues_[i]->flush();
      rings_[i].state_ = queues_[i]->state();
    }
    queues_.clear();
    running_ = false;
    return all;
  }
  void reset() {
    stop();
    device_->reset();
  }
  // Goes on with another device object (restored from a saved state), with the same rings.
  void replace(VirtioDevice& device) {
    device_ = &device;
    device.attach(transport_);
  }
  void kick(size_t index) { device_->kick(*queues_.at(index)); }

  template <class Condition>
  bool run_until(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) {
        return false;
      }
      loop_->run_once(std::chrono::milliseconds(1));
    }
    return true;
  }
  void turn(int count = 1) {
    for (int i = 0; i < count; ++i) {
      loop_->run_once(std::chrono::nanoseconds(0));
    }
  }
  // Waits for the next finished chain.
  std::optional<Used> wait(size_t index, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    std::optional<Used> used;
    run_until([&] { return (used = rings_.at(index).used()).has_value(); }, limit);
    return used;
  }
  // Publishes one chain, kicks, waits.
  std::optional<Used> request(size_t index, const std::vector<Buffer>& buffers) {
    ring(index).add(buffers);
    kick(index);
    return wait(index);
  }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<GuestMemory> memory_;
  VirtioDevice* device_;
  uint64_t features_;
  RecordingTransport transport_;
  std::deque<DriverRing> rings_;
  std::vector<std::unique_ptr<Virtqueue>> queues_;
  std::vector<int> interrupts_;
  uint64_t next_free_ = 4096;
  bool running_ = false;
};

}  // namespace lodge::test
