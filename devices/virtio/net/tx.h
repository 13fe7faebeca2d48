// NetTx: frames of one transmit queue to the backend. Only on the queue's loop, but for counters().
#pragma once

#include <vector>

#include "devices/net/backend.h"
#include "devices/virtio/net/constants.h"
#include "devices/virtio/net/counters.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioNet;

class NetTx {
 public:
  NetTx(VirtioNet& device, NetBackend& backend) : device_(device), backend_(backend) {}

  void start(Virtqueue& queue);
  void kick();
  void stop(const VirtioDevice::Done& done);
  [[nodiscard]] const net::Counters& counters() const { return counters_; }

 private:
  static constexpr int kBatch = 128;  // frames a turn, so that one queue does not starve the loop's others

  void pump();
  // False when the backend is full; the chain stays in waiting_.
  [[nodiscard]] bool send(Chain chain);

  VirtioNet& device_;
  NetBackend& backend_;
  Virtqueue* queue_ = nullptr;
  EventLoop::Watch writable_;
  EventLoop::Timer again_;
  Chain waiting_;
  net::Header header_;
  std::vector<iovec> iov_;
  net::Counters counters_;
};

}  // namespace lodge
