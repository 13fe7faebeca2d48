// VirtioNet: the virtio network device (virtio 1.2 section 5.1), modern and legacy, with one or more queue pairs.
//
// Queues: receive 2n, transmit 2n+1, control last. Made on the control thread. A pair's queues run on one loop (rx.h, tx.h),
// the control queue (control.h) on that of the first; config accesses come from vCPU threads; set_link() and announce() from
// the control thread. Data queues can be handed to the kernel (vhost).
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/net/backend.h"
#include "devices/net/vhost_net.h"
#include "devices/virtio/net/constants.h"
#include "devices/virtio/net/filter.h"
#include "devices/virtio/net/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class NetRx;
class NetTx;
class NetControl;

class VirtioNet final : public VirtioDevice, public Nic {
 public:
  static constexpr uint16_t kMaxPairs = 128;
  struct Options {
    std::string id;  // "net0"
    NetPort port;
    net::MacAddress mac{};
    uint16_t queue_size = 256;  // power of two, 16..1024
    uint16_t mtu = 0;           // 0: as the backend says
    bool link_up = true;
    std::vector<std::unique_ptr<VhostNet>> vhost;  // one a pair, or none; the backends must be taps
  };
  [[nodiscard]] static Result<std::unique_ptr<VirtioNet>> create(Options options, const StateReader* saved);
  ~VirtioNet() override;

  [[nodiscard]] uint16_t virtio_id() const override { return 1; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x020000; }
  [[nodiscard]] uint64_t offered_features() const override { return features_; }
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override { return std::span(sizes_).first(2U * pairs_ + 1); }
  [[nodiscard]] uint16_t loop_group(uint16_t queue) const override;
  [[nodiscard]] bool in_kernel(uint16_t queue) const override { return !options_.vhost.empty() && !is_control(queue); }
  void read_config(uint32_t offset, std::span<std::byte> to) override;
  void write_config(uint32_t offset, std::span<const std::byte> from) override;
  void attach(VirtioTransport& transport) override { transport_ = &transport; }
  void activate(const Activation& activation) override;
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& queue) override;
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override;
  void save(std::string_view id, StateWriter& out) const override;
  [[nodiscard]] std::vector<Counter> counters() const override;

  void set_link(bool up) override;
  void announce() override;
  [[nodiscard]] net::MacAddress mac() const override;
  [[nodiscard]] const NetPort& port() const override { return options_.port; }

  // For the queues.
  [[nodiscard]] uint64_t negotiated() const { return negotiated_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint32_t header_size() const { return header_size_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool link_up() const override { return link_up_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t filter_generation() const { return filter_generation_.load(std::memory_order_acquire); }
  [[nodiscard]] std::shared_ptr<const net::RxFilter> filter() const;
  void guest_mistake(std::string_view what) { guest_warning(warnings_, options_.id, "{}", what); }
  // For the control queue.
  void set_filter(net::RxFilter filter);
  [[nodiscard]] bool set_pairs(uint16_t count);
  [[nodiscard]] bool choose_offloads(uint64_t features);
  void announced();

 private:
  explicit VirtioNet(Options options);
  [[nodiscard]] Result<void> load(const StateReader& saved);
  [[nodiscard]] bool is_control(uint16_t queue) const;
  [[nodiscard]] Result<void> apply_offloads(uint64_t guest_features);
  void start_kernel_queue(Virtqueue& queue);
  void stop_kernel_queue(Virtqueue& queue);

  Options options_;
  uint16_t pairs_ = 1;
  uint64_t features_ = 0;
  std::array<uint16_t, 2 * kMaxPairs + 1> sizes_{};
  std::vector<std::unique_ptr<NetRx>> rx_;
  std::vector<std::unique_ptr<NetTx>> tx_;
  std::unique_ptr<NetControl> control_;
  VirtioTransport* transport_ = nullptr;
  GuestWarnings warnings_;

  std::atomic<uint64_t> negotiated_{0};
  std::atomic<uint32_t> header_size_{12};
  std::atomic<bool> link_up_{true};
  std::atomic<bool> announce_{false};
  std::atomic<uint16_t> active_pairs_{1};
  std::atomic<uint64_t> guest_offloads_{0};
  std::atomic<bool> offloads_chosen_{false};
  std::atomic<uint64_t> filter_generation_{0};
  mutable Mutex mutex_;
  std::shared_ptr<const net::RxFilter> filter_ GUARDED_BY(mutex_);
};

}  // namespace lodge
