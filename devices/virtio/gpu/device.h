// VirtioGpu: the virtio display (virtio 1.2 section 5.7) in two dimensions, with one scanout and EDID. Guests fill resources
// from their memory and show a part of one; the cursor is drawn into the picture. What is shown is turned into an image only
// when somebody looks (devices/display/screen.h).
//
// Both queues on one loop; config accesses from vCPU threads; refresh() from any thread.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/display/screen.h"
#include "devices/virtio/gpu/edid.h"
#include "devices/virtio/gpu/picture.h"
#include "devices/virtio/gpu/preferred_size.h"
#include "devices/virtio/gpu/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioGpu final : public VirtioDevice, public Screen {
 public:
  static constexpr uint64_t kMaxBytes = 256U << 20;  // for what the guest makes
  struct Options {
    std::string id = "video0";
    uint32_t width = 1280;  // that the screen prefers at first, at most kMaxEdidWidth and kMaxEdidHeight
    uint32_t height = 800;
    uint64_t max_bytes = kMaxBytes;
    std::shared_ptr<Screen> before = {};  // is seen until a driver sets the scanout, and again after a reset; null: black
  };
  // Errors: a size that a screen cannot have; the saved state is damaged or larger than max_bytes.
  [[nodiscard]] static Result<std::unique_ptr<VirtioGpu>> create(Options options, const StateReader* saved);

  [[nodiscard]] uint16_t virtio_id() const override { return 16; }
  [[nodiscard]] uint32_t pci_class() const override { return 0x038000; }
  [[nodiscard]] uint64_t offered_features() const override { return virtio_gpu::kFeatureEdid; }
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  void read_config(uint32_t offset, std::span<std::byte> to) override;
  void write_config(uint32_t offset, std::span<const std::byte> from) override;
  void attach(VirtioTransport& transport) override { transport_ = &transport; }
  void activate(const Activation& activation) override { memory_ = &activation.memory; }
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& queue) override;
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override;
  void save(std::string_view id, StateWriter& out) const override;
  [[nodiscard]] std::vector<Counter> counters() const override;

  [[nodiscard]] std::optional<ChangedLines> refresh(Image& image) override;
  [[nodiscard]] bool takes_sizes() const override { return true; }
  void prefer_size(uint32_t width, uint32_t height) override;

 private:
  static constexpr uint16_t kControl = 0;
  static constexpr std::array<uint16_t, 2> kQueueSizes{256, 16};
  static constexpr uint64_t kPerTurn = 8U << 20;   // bytes before other work of the loop has its turn
  static constexpr uint64_t kCommandCost = 16384;  // of one, in these bytes
  explicit VirtioGpu(Options options)
      : options_(std::move(options)),
        size_({options_.width, options_.height}),
        resources_(options_.max_bytes),
        picture_(options_.width, options_.height) {}
  [[nodiscard]] Result<void> load(const StateReader& saved);
  [[nodiscard]] Result<void> load_resource(const GpuResourceState& state);

  // commands.cc. The answer's type, and its body if it has one.
  struct Answer {
    virtio_gpu::Response type = virtio_gpu::kOkNodata;
    std::span<const std::byte> body = {};
  };
  void serve(Virtqueue& queue);
  void execute(Chain chain);
  [[nodiscard]] Answer command(uint32_t type, const Chain& chain);
  [[nodiscard]] virtio_gpu::Response change(uint32_t type, const Chain& chain);
  [[nodiscard]] Answer display_info();
  [[nodiscard]] Answer edid(const Chain& chain);
  [[nodiscard]] virtio_gpu::Response unref(const virtio_gpu::ResourceId& wanted);
  [[nodiscard]] virtio_gpu::Response set_scanout(const virtio_gpu::SetScanout& wanted);
  [[nodiscard]] virtio_gpu::Response flush(const virtio_gpu::Flush& wanted);
  [[nodiscard]] virtio_gpu::Response transfer(const virtio_gpu::Transfer& wanted);
  [[nodiscard]] virtio_gpu::Response attach_backing(const Chain& chain);
  [[nodiscard]] virtio_gpu::Response detach_backing(const virtio_gpu::ResourceId& wanted);
  [[nodiscard]] virtio_gpu::Response cursor(uint32_t type, const virtio_gpu::Cursor& wanted);

  // The guest is told that the display has changed, on the loop: others may not interrupt it.
  void post_event();

  Options options_;
  GuestWarnings warnings_;
  VirtioTransport* transport_ = nullptr;
  GpuPreferredSize size_;
  Mutex mutex_;
  EventLoop* loop_ GUARDED_BY(mutex_) = nullptr;                // while the control queue runs
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what is posted to the loop looks at it
  // The loop's, or whose the device is while it rests.
  GuestMemory* memory_ = nullptr;
  GpuResources resources_;
  uint64_t work_ = 0;  // in this turn, bytes
  std::array<EventLoop::Timer, 2> again_;
  std::vector<virtio_gpu::MemoryEntry> entries_;
  virtio_gpu::DisplayInfo display_info_{};
  virtio_gpu::Edid edid_{};

  GpuPicture picture_;
  std::atomic<uint64_t> commands_{0};
  std::atomic<uint64_t> transferred_{0};
  std::atomic<uint64_t> flushes_{0};
  std::atomic<uint64_t> held_{0};
};

}  // namespace lodge
