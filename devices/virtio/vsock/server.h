// VsockServer: who serves the receive and transmit rings of a vsock device. VhostVsock has the kernel do it.
#pragma once

#include <cstdint>
#include <memory>

#include "devices/core/vhost.h"

namespace lodge {

class VsockServer {
 public:
  virtual ~VsockServer() = default;
  // Feature bits, the transport's too, that it can serve.
  [[nodiscard]] virtual uint64_t features() const = 0;
  [[nodiscard]] virtual Result<void> set_up(uint64_t features, const GuestMemory& memory) = 0;
  // Ring 0 receives, ring 1 transmits. Signals on `kick_fd` and `call_fd`.
  [[nodiscard]] virtual Result<void> set_ring(unsigned ring, const VhostRing& place, const GuestMemory& memory, int kick_fd,
                                              int call_fd) = 0;
  // Both rings begin, or end: then nothing of them is in flight.
  [[nodiscard]] virtual Result<void> run(bool on) = 0;
  [[nodiscard]] virtual Result<uint16_t> position(unsigned ring) = 0;
};

class VhostVsock final : public VsockServer {
 public:
  // `vhost`: an open /dev/vhost-vsock, or none to open it. `cid`: the guest's address. Errors: another guest has it, the
  // module is missing.
  [[nodiscard]] static Result<std::unique_ptr<VsockServer>> create(Fd vhost, uint64_t cid);

  [[nodiscard]] uint64_t features() const override { return vhost_.features(); }
  [[nodiscard]] Result<void> set_up(uint64_t features, const GuestMemory& memory) override;
  [[nodiscard]] Result<void> set_ring(unsigned ring, const VhostRing& place, const GuestMemory& memory, int kick_fd,
                                      int call_fd) override;
  [[nodiscard]] Result<void> run(bool on) override;
  [[nodiscard]] Result<uint16_t> position(unsigned ring) override { return vhost_.position(ring); }

 private:
  explicit VhostVsock(Vhost vhost) : vhost_(std::move(vhost)) {}
  Vhost vhost_;
};

}  // namespace lodge
