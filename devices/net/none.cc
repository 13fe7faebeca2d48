#include "devices/net/none.h"

#include "base/fd.h"

namespace lodge {
namespace {

class NoneBackend final : public NetBackend {
 public:
  explicit NoneBackend(EventFd never) : never_(std::move(never)) {}
  [[nodiscard]] int poll_fd() const override { return never_.get(); }
  Io send(std::span<const iovec> /*frame*/) override { return Io::done; }
  Io receive(std::span<const iovec> /*into*/, size_t& /*bytes*/) override { return Io::would_block; }
  [[nodiscard]] Result<void> set_offloads(uint32_t /*tun_flags*/) override { return {}; }

 private:
  EventFd never_;  // never readable
};

}  // namespace

Result<NetPort> open_none(uint16_t queue_pairs) {
  NetPort port;
  // Whatever offload the guest uses: nobody has to do it.
  port.capabilities = {
      .vnet_header = true, .checksum = true, .tso = true, .uso = true, .queue_pairs = queue_pairs, .mtu = 0};
  for (uint16_t i = 0; i < queue_pairs; ++i) {
    port.queues.push_back(std::make_unique<NoneBackend>(TRY(EventFd::create())));
  }
  return port;
}

}  // namespace lodge
