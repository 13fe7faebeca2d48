// VirtioInput: what virtio keyboards, mice and tablets have in common (virtio 1.2 section 5.8): the configuration space with
// its questions, the event queue and the status queue (LEDs).
//
// Input comes from any thread and waits, bounded, while the driver gives no buffers; queue work on one loop; config accesses
// from vCPU threads. One mutex, held for one call; nothing runs while nobody moves or types.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/virtio/input/queries.h"
#include "devices/virtio/input/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

struct VirtioInputOptions {
  std::string id;  // "input0"
  VirtioInputKind kind = VirtioInputKind::tablet;
  std::string serial;  // the guest sees it; empty: none
  // The guest begins to listen or ceases. May be empty; any thread, with locks held.
  std::function<void()> on_listening;
};

class VirtioInput : public VirtioDevice {
 public:
  using Options = VirtioInputOptions;
  // Errors: a serial number that is too long; the state is damaged.
  [[nodiscard]] static Result<std::unique_ptr<VirtioInput>> create(Options options, const StateReader* saved);

  [[nodiscard]] uint16_t virtio_id() const override { return 18; }
  [[nodiscard]] uint32_t pci_class() const override;
  [[nodiscard]] uint64_t offered_features() const override { return 0; }
  [[nodiscard]] std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  void read_config(uint32_t offset, std::span<std::byte> to) override;
  void write_config(uint32_t offset, std::span<const std::byte> from) override;
  void attach(VirtioTransport& /*transport*/) override {}
  void activate(const Activation& activation) override;
  void start_queue(Virtqueue& queue) override;
  void kick(Virtqueue& queue) override;
  void stop_queue(Virtqueue& queue, Done done) override;
  void reset() override;
  void save(std::string_view id, StateWriter& out) const override;
  [[nodiscard]] std::vector<Counter> counters() const override;
  // The LEDs that the guest has switched on, bit by LED_*.
  [[nodiscard]] uint8_t leds() const;

 protected:
  explicit VirtioInput(Options options) : options_(std::move(options)) {}
  // The driver is there.
  [[nodiscard]] bool listening() const { return listening_.load(std::memory_order_acquire); }
  // Something waits now that did not.
  void wake();

  // The next of what waits as events of the guest, appended to `out`; false: nothing waits.
  [[nodiscard]] virtual bool take_next(std::vector<VirtioInputEvent>& out) REQUIRES(mutex_) = 0;
  virtual void forget() REQUIRES(mutex_) = 0;
  [[nodiscard]] virtual Result<void> load(const StateReader& saved);
  [[nodiscard]] const std::string& id() const { return options_.id; }
  [[nodiscard]] VirtioInputKind kind() const { return options_.kind; }

  mutable Mutex mutex_;

 private:
  static constexpr uint16_t kEvents = 0;
  static constexpr std::array<uint16_t, 2> kQueueSizes{64, 64};
  static constexpr uint32_t kPerTurn = 256;  // buffers before other work of the loop has its turn
  // The next event to tell, if there is one. It counts as told.
  [[nodiscard]] bool next_event(VirtioInputEvent& event);
  void put_back();
  void pump();
  void take_status(Virtqueue& queue);
  void set_listening(bool on);

  Options options_;
  GuestWarnings warnings_;
  std::atomic<bool> listening_{false};
  std::atomic<uint64_t> events_{0};
  std::atomic<uint64_t> statuses_{0};
  VirtioInputState s_ GUARDED_BY(mutex_);  // without `telling`, which follows, in order from told_ on
  std::vector<VirtioInputEvent> telling_ GUARDED_BY(mutex_);
  size_t told_ GUARDED_BY(mutex_) = 0;
  EventLoop* loop_ GUARDED_BY(mutex_) = nullptr;  // while the event queue runs
  bool posted_ GUARDED_BY(mutex_) = false;        // pump() will run
  Virtqueue* queue_ = nullptr;                    // the loop's, as the next two
  EventLoop::Timer again_;
  EventLoop::Timer statuses_again_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what is posted to the loop looks at it
};

}  // namespace lodge
