// Where a NIC's frames go. One backend object per queue pair, used on one event loop.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace lodge {

// What the other side may do for us; the virtio-net device offers the matching features.
struct NetCapabilities {
  bool vnet_header = false;  // frames carry struct virtio_net_hdr_mrg_rxbuf (12 bytes) first
  bool checksum = false;     // partial checksums both ways
  bool tso = false;          // TCP segmentation, IPv4 and IPv6, both ways
  bool uso = false;          // UDP segmentation
  uint16_t queue_pairs = 1;
  uint16_t mtu = 0;  // 0: not known
};

class NetBackend {
 public:
  enum class Io : uint8_t { done, would_block, gone };
  virtual ~NetBackend() = default;
  // Readable when receive() has a frame; writable when send() would not block.
  [[nodiscard]] virtual int poll_fd() const = 0;
  // One frame, with the vnet header (12 bytes) in front; a backend without vnet_header skips it.
  virtual Io send(std::span<const iovec> frame) = 0;
  // One frame, with the vnet header in front (zeros but num_buffers=1 when the backend has none). `bytes`: total length,
  // larger than the space when it was cut.
  virtual Io receive(std::span<const iovec> into, size_t& bytes) = 0;
  // TUN_F_* flags of the offloads that the guest negotiated.
  [[nodiscard]] virtual Result<void> set_offloads(uint32_t tun_flags) = 0;
  // Whether the guest uses this queue pair: frames are steered to enabled ones only. Any thread.
  virtual void set_enabled(bool /*enabled*/) {}
  // The descriptor that vhost may serve instead of us, or -1.
  [[nodiscard]] virtual int kernel_fd() const { return -1; }
};

// The backend of one NIC: a queue object for each pair.
struct NetPort {
  NetCapabilities capabilities;
  std::vector<std::unique_ptr<NetBackend>> queues;
  std::string interface;  // of the host, for queries; may be empty
};

}  // namespace lodge
