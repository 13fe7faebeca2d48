#include "devices/net/frame_port.h"

#include <cstring>

#include "devices/net/frame.h"

namespace lodge {
namespace {

// struct virtio_net_hdr_v1 (virtio 1.2, 5.1.6), little-endian as the host is.
struct Header {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t header_length = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
  uint16_t buffers = 0;
};
static_assert(sizeof(Header) == kVnetHeader);
constexpr uint8_t kNeedsCsum = 1;
constexpr uint8_t kGsoTcp4 = 1;
constexpr uint8_t kGsoTcp6 = 4;

constexpr int kBatch = 64;
constexpr std::chrono::milliseconds kGoneRetry(200);

}  // namespace

FramePort::FramePort(NetBackend& backend, const NetCapabilities& capabilities, EventLoop& loop, Client& client)
    : backend_(backend), capabilities_(capabilities), loop_(loop), client_(client), frame_(kMaxFrame), segment_(kMaxFrame) {}

void FramePort::start() {
  running_ = true;
  segments_sent_ = 0;
  blocked_ = false;
  poll();
}

void FramePort::stop() {
  running_ = false;
  readable_.reset();
  writable_.reset();
  again_.reset();
}

void FramePort::poll_later(std::chrono::nanoseconds delay) {
  readable_.reset();
  again_ = loop_.after(delay, [this] {
    again_.reset();
    poll();
  });
}

void FramePort::poll() {
  if (!running_ || again_.active()) {
    return;
  }
  for (int count = 0; count < kBatch; ++count) {
    if (!client_.wants_frames()) {
      readable_.reset();
      return;
    }
    std::array<std::byte, kVnetHeader> header{};
    const std::array<iovec, 2> into{iovec{header.data(), header.size()}, iovec{frame_.data(), frame_.size()}};
    size_t bytes = 0;
    switch (backend_.receive(into, bytes)) {
      case NetBackend::Io::done: break;
      case NetBackend::Io::would_block:
        if (!readable_.active()) {
          readable_ = loop_.on_readable(backend_.poll_fd(), [this] { poll(); });
        }
        return;
      case NetBackend::Io::gone: poll_later(kGoneRetry); return;
    }
    if (bytes >= kVnetHeader + kMinFrame && bytes <= kVnetHeader + frame_.size()) {
      client_.take_frame(std::span(frame_).first(bytes - kVnetHeader));
    }
  }
  poll_later(std::chrono::nanoseconds(0));
}

bool FramePort::send_raw(std::span<const std::byte> header, std::span<const std::byte> frame) {
  const std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(header.data()), header.size()},
                                   iovec{const_cast<std::byte*>(frame.data()), frame.size()}};
  if (backend_.send(parts) != NetBackend::Io::would_block) {
    return true;
  }
  blocked_ = true;
  writable_ = loop_.on_writable(backend_.poll_fd(), [this] {
    writable_.reset();
    blocked_ = false;
    client_.can_send();
  });
  return false;
}

// The kernel, or the real card, computes and cuts.
bool FramePort::leave_to_other_side(std::span<std::byte> frame, const Offload& offload) {
  Header header;
  header.flags = kNeedsCsum;
  header.csum_start = static_cast<uint16_t>(offload.start);
  header.csum_offset = static_cast<uint16_t>(offload.at - offload.start);
  if (offload.cut) {
    const net::Segmentation& segments = offload.segments;
    net::complete_headers(frame, segments);
    header.csum_start = static_cast<uint16_t>(segments.transport);
    header.csum_offset = segments.tcp ? 16 : 6;
    if (frame.size() - segments.headers > segments.size) {
      header.gso_type = !segments.tcp ? kGsoUdpL4 : segments.ipv6 ? kGsoTcp6 : kGsoTcp4;
      header.gso_size = static_cast<uint16_t>(segments.size);
      header.header_length = static_cast<uint16_t>(segments.headers);
    }
  }
  return send_raw(std::as_bytes(std::span(&header, 1)), frame);
}

bool FramePort::send(std::span<std::byte> frame, const Offload& offload) {
  static constexpr std::array<std::byte, kVnetHeader> kPlain{};
  if (blocked_) {
    return false;
  }
  if (frame.size() < kMinFrame || frame.size() > kMaxFrame) {
    return true;
  }
  if (offload.cut) {
    if (!net::is_sound(offload.segments, frame.size())) {
      return true;
    }
    if (offload.segments.tcp ? capabilities_.tso : capabilities_.uso) {
      return leave_to_other_side(frame, offload);
    }
    const net::Segments done = net::segment(frame, offload.segments, segment_, segments_sent_,
                                            [this](std::span<const std::byte> one) { return send_raw(kPlain, one); });
    segments_sent_ = blocked_ ? done.sent : 0;
    return !blocked_;
  }
  if (!offload.checksum) {
    return send_raw(kPlain, frame);
  }
  if (offload.start >= frame.size() || offload.at + 2 > frame.size() || offload.at < offload.start) {
    return true;
  }
  if (capabilities_.checksum) {
    return leave_to_other_side(frame, offload);
  }
  (void)net::put_checksum(frame, offload.start, frame.size(), offload.at);
  return send_raw(kPlain, frame);
}

}  // namespace lodge
