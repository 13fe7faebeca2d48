// VirtioBlk: the virtio block device (virtio 1.2 section 5.2), modern and legacy, with one or more queues.
//
// Made on the control thread. Queue work is in blk/queue.h, on the I/O loops; config accesses come from vCPU threads;
// resize() from the control thread.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "devices/block/backend.h"
#include "devices/block/error_policy.h"
#include "devices/virtio/blk/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class BlkQueue;

class VirtioBlk final : public VirtioDevice {
 public:
  static constexpr uint16_t kMaxQueues = 256;
  struct Options {
    std::string id;  // "disk0", for warnings and events
    std::unique_ptr<BlockBackend> backend;
    std::string serial;         // at most 20 bytes reach the guest
    uint16_t queues = 1;        // 1..256
    uint16_t queue_size = 256;  // power of two, 4..1024
    ErrorPolicy errors;
    OnBlockError on_io_error;    // may be empty
    uint32_t logical_block = 0;  // 0: as the backend says
    uint32_t physical_block = 0;
  };
  [[nodiscard]] static Result<std::unique_ptr<VirtioBlk>> create(Options options, const StateReader* saved);
  ~VirtioBlk() override;

  [[nodiscard]] uint16_t virtio_id() const override { return 2; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x010000; }
  [[nodiscard]] uint64_t offered_features() const override { return features_; }
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override {
    return std::span(queue_sizes_).first(options_.queues);
  }
  [[nodiscard]] uint16_t loop_group(uint16_t queue) const override { return queue; }
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

  // The image changes to `size` bytes (0: its size was changed by someone else); the guest is told.
  [[nodiscard]] Result<void> resize(uint64_t size);
  [[nodiscard]] BlockBackend& backend() { return *options_.backend; }

 private:
  friend class BlkQueue;
  explicit VirtioBlk(Options options);
  [[nodiscard]] Result<void> check_options() const;
  [[nodiscard]] Result<void> load(const StateReader& saved);
  void update_write_cache();

  Options options_;
  BlockInfo info_;  // all but the size is fixed
  uint64_t features_ = 0;
  std::array<uint16_t, kMaxQueues> queue_sizes_{};
  std::vector<std::unique_ptr<BlkQueue>> queues_;
  VirtioTransport* transport_ = nullptr;
  GuestWarnings warnings_;
  std::atomic<uint64_t> capacity_{0};  // bytes
  std::atomic<uint64_t> negotiated_{0};
  std::atomic<bool> cache_register_{true};  // the config space's writeback byte
  std::atomic<bool> write_cache_{true};     // false: writes are durable when they complete
};

}  // namespace lodge
