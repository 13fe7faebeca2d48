// VirtioRng: the virtio entropy device (virtio 1.2 section 5.4). One queue of buffers to fill from the host's generator,
// with an optional limit of bytes per period. Everything on the queue's loop, but for counters().
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "devices/virtio/rng/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioRng final : public VirtioDevice {
 public:
  // A request gets at most this much: overlapping buffers can make a small guest ask for gigabytes.
  static constexpr uint64_t kMaxRequest = 64 * 1024;
  struct Options {
    std::string id;
    uint64_t max_bytes = 0;  // in each period; 0: no limit
    std::chrono::milliseconds period{1000};
  };
  [[nodiscard]] static Result<std::unique_ptr<VirtioRng>> create(Options options, const StateReader* saved);

  [[nodiscard]] uint16_t virtio_id() const override { return 4; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x00FF00; }
  [[nodiscard]] uint64_t offered_features() const override { return 0; }
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  void read_config(uint32_t offset, std::span<std::byte> to) override { copy_config({}, offset, to); }
  void attach(VirtioTransport& /*transport*/) override {}
  void activate(const Activation& /*activation*/) override {}
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& queue) override;
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override;
  void save(std::string_view id, StateWriter& out) const override;
  [[nodiscard]] std::vector<Counter> counters() const override;

 private:
  static constexpr std::array<uint16_t, 1> kQueueSizes{64};
  static constexpr uint64_t kPerTurn = 256 * 1024;  // bytes before other work of the loop has its turn
  explicit VirtioRng(Options options) : options_(std::move(options)), budget_(options_.max_bytes) {}
  void pump();
  void pump_after(std::chrono::nanoseconds delay);
  [[nodiscard]] uint64_t fill(Chain chain, uint64_t limit);

  Options options_;
  Virtqueue* queue_ = nullptr;
  EventLoop::Timer again_;   // more work in the next turn
  EventLoop::Timer refill_;  // the period ends: the budget is whole again
  uint64_t budget_;
  std::vector<iovec> iov_;
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace lodge
