// VirtioBalloon: the memory balloon (virtio 1.2 section 5.5): takes pages from the guest and gives them back, reads memory
// statistics, and returns pages that the guest reports as free.
//
// Queues: inflate, deflate, then statistics and reporting as negotiated. Queue work on one loop; set_size() and the queries
// from the control thread; config accesses, and with them on_change, from vCPU threads.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/virtio/balloon/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

// What the guest says of its memory. A value that it does not report is ~0. Bytes, but for the counts.
struct BalloonStats {
  static constexpr uint64_t kUnknown = ~uint64_t{0};
  // In the order of the tags of the specification.
  enum Tag : uint16_t {
    kSwapIn,
    kSwapOut,
    kMajorFaults,
    kMinorFaults,
    kFree,
    kTotal,
    kAvailable,
    kCaches,
    kHugetlbAllocs,
    kHugetlbFails,
    kTags
  };
  std::array<uint64_t, kTags> values;
  std::chrono::system_clock::time_point updated;  // the epoch: never
  BalloonStats() { values.fill(kUnknown); }
};

class VirtioBalloon final : public VirtioDevice {
 public:
  static constexpr uint64_t kPage = 4096;
  struct Options {
    std::string id;
    bool deflate_on_oom = false;
    bool reporting = false;                         // free page reporting
    std::chrono::milliseconds stats_period{0};      // 0: the guest is not asked
    std::function<void(uint64_t bytes)> on_change;  // the balloon's real size changed; on a vCPU thread; may be empty
  };
  [[nodiscard]] static Result<std::unique_ptr<VirtioBalloon>> create(Options options, const StateReader* saved);

  [[nodiscard]] uint16_t virtio_id() const override { return 5; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x00FF00; }
  [[nodiscard]] uint64_t offered_features() const override;
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override {
    return std::span(kQueueSizes).first(options_.reporting ? 4 : 3);
  }
  void read_config(uint32_t offset, std::span<std::byte> to) override;
  void write_config(uint32_t offset, std::span<const std::byte> from) override;
  void attach(VirtioTransport& transport) override { transport_ = &transport; }
  void activate(const Activation& activation) override { negotiated_.store(activation.features); }
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& queue) override;
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override;
  void save(std::string_view id, StateWriter& out) const override;
  [[nodiscard]] std::vector<Counter> counters() const override;

  // How much the guest shall give up; rounded down to pages.
  void set_size(uint64_t bytes);
  [[nodiscard]] uint64_t target() const { return target_.load() * kPage; }
  [[nodiscard]] uint64_t size() const { return actual_.load() * kPage; }  // what it really gave
  void set_stats_period(std::chrono::milliseconds period);                // at most a day; 0: the guest is not asked
  [[nodiscard]] std::chrono::milliseconds stats_period() const { return std::chrono::milliseconds(period_ms_.load()); }
  [[nodiscard]] BalloonStats stats() const;

 private:
  enum class Role : uint8_t { inflate, deflate, stats, reporting, none };
  static constexpr std::array<uint16_t, 4> kQueueSizes{128, 128, 128, 128};
  static constexpr size_t kMaxPages = 16 * 1024;  // in one request; the usual driver sends 256
  explicit VirtioBalloon(Options options) : options_(std::move(options)), period_ms_(options_.stats_period.count()) {}
  [[nodiscard]] Role role_of(uint16_t queue) const;
  void inflate(Virtqueue& queue);
  void give_back_pages(const GuestMemory& memory, std::span<uint32_t> pages);
  void report(Virtqueue& queue);
  void take_stats(Virtqueue& queue);
  void arm_stats();
  void discard(const GuestMemory& memory, uint64_t at, uint64_t bytes);

  Options options_;
  VirtioTransport* transport_ = nullptr;
  GuestWarnings warnings_;
  std::atomic<uint64_t> negotiated_{0};
  std::atomic<uint64_t> target_{0};  // pages
  std::atomic<uint64_t> actual_{0};
  std::atomic<int64_t> period_ms_{0};
  std::atomic<uint64_t> inflated_{0};  // bytes, ever
  std::atomic<uint64_t> reported_{0};
  std::vector<uint32_t> pages_;  // the loop's

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what is posted to the loop looks at it

  Chain stats_chain_;  // the buffer that the driver left with us until we want news
  EventLoop::Timer stats_timer_;
  mutable Mutex mutex_;
  BalloonStats stats_ GUARDED_BY(mutex_);
  EventLoop* stats_loop_ GUARDED_BY(mutex_) = nullptr;  // while the statistics queue runs
};

}  // namespace lodge
