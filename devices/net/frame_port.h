// FramePort: one NIC's side of a NetBackend, for cards without virtio headers: whole frames in and out, on one loop.
//
// Everything on the loop's thread.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/io/event_loop.h"
#include "devices/net/backend.h"
#include "devices/net/offload.h"

namespace lodge {

class FramePort {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // Whether a frame would be taken now; when that changes the client calls poll().
    [[nodiscard]] virtual bool wants_frames() = 0;
    virtual void take_frame(std::span<const std::byte> frame) = 0;
    // send() would work again.
    virtual void can_send() = 0;
  };
  // What the guest leaves to the card, for one frame.
  struct Offload {
    bool checksum = false;  // from `start` to the end, at `at`; the pseudo header's sum stands there
    size_t start = 0;
    size_t at = 0;
    bool cut = false;
    net::Segmentation segments;
  };

  FramePort(NetBackend& backend, const NetCapabilities& capabilities, EventLoop& loop, Client& client);
  void start();
  void stop();
  // Reads frames while the client wants them.
  void poll();
  // False: not now; can_send() comes, and the same frame is to be sent again. A frame that cannot be sent at all is lost.
  // `frame` is changed.
  [[nodiscard]] bool send(std::span<std::byte> frame, const Offload& offload);

 private:
  [[nodiscard]] bool send_raw(std::span<const std::byte> header, std::span<const std::byte> frame);
  [[nodiscard]] bool leave_to_other_side(std::span<std::byte> frame, const Offload& offload);
  void poll_later(std::chrono::nanoseconds delay);

  NetBackend& backend_;
  NetCapabilities capabilities_;
  EventLoop& loop_;
  Client& client_;
  bool running_ = false;
  bool blocked_ = false;
  size_t segments_sent_ = 0;  // of a frame that is being cut
  EventLoop::Watch readable_;
  EventLoop::Watch writable_;
  EventLoop::Timer again_;
  std::vector<std::byte> frame_;    // that comes in
  std::vector<std::byte> segment_;  // that goes out
};

}  // namespace lodge
