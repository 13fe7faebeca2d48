// NetRx: frames from the backend into one receive queue. Only on the queue's loop, but for wake() and counters().
//
// Buffers are taken from the ring ahead of the frames ("held"), so that a frame is read by one system call straight into
// guest memory, across as many buffers as it takes. What does not fit goes to a spill buffer and waits for more buffers.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "devices/net/backend.h"
#include "devices/net/frame.h"
#include "devices/virtio/net/counters.h"
#include "devices/virtio/net/filter.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioNet;

class NetRx {
 public:
  NetRx(VirtioNet& device, NetBackend& backend);
  ~NetRx();
  NetRx(const NetRx&) = delete;
  NetRx& operator=(const NetRx&) = delete;

  void start(Virtqueue& queue);
  void kick();
  void stop(const VirtioDevice::Done& done);
  [[nodiscard]] const net::Counters& counters() const { return counters_; }

 private:
  enum class Outcome : uint8_t { again, idle, no_buffers, gone };
  // Local part of every frame: the header and the addresses, which are looked at before the guest gets them.
  static constexpr size_t kHead = kVnetHeader + 18;
  static constexpr int kBatch = 64;  // frames a turn
  static constexpr std::chrono::milliseconds kGoneRetry{500};

  void pump();
  void pump_later(std::chrono::nanoseconds delay);
  [[nodiscard]] Outcome receive_one();
  [[nodiscard]] bool hold(uint64_t bytes);
  void gather_held(uint64_t offset);
  void scatter_held(uint64_t offset, std::span<const std::byte> from) const;
  [[nodiscard]] Outcome place(size_t frame);
  void complete(size_t frame);
  void refresh_filter();

  VirtioNet& device_;
  NetBackend& backend_;
  Virtqueue* queue_ = nullptr;
  EventLoop::Watch readable_;
  EventLoop::Timer again_;
  bool mergeable_ = false;
  uint32_t guest_header_ = kVnetHeader;
  std::vector<Chain> held_;
  uint64_t held_bytes_ = 0;
  std::vector<iovec> iov_;
  std::array<std::byte, kHead> head_{};
  std::vector<std::byte> spill_;
  uint64_t spill_from_ = 0;   // offset in the held stream at which the spilled part of the frame begins
  size_t pending_frame_ = 0;  // its length; 0: none waits
  std::shared_ptr<const net::RxFilter> filter_;
  uint64_t filter_generation_ = ~uint64_t{0};
  net::Counters counters_;
};

}  // namespace lodge
