// A hostile driver against virtio-net, with frames of all lengths arriving.
#include <deque>

#include "devices/net/frame.h"
#include "devices/virtio/net/device.h"
#include "tests/fuzz/common/virtio_harness.h"

namespace {

using namespace lodge;

// Shared by the backends of one run; checks what would go to the kernel.
struct Wire {
  std::deque<size_t> incoming;
  bool full = false;
};

class Backend final : public NetBackend {
 public:
  explicit Backend(Wire& wire) : wire_(wire), event_(std::move(*EventFd::create())) {}
  int poll_fd() const override { return event_.get(); }
  Io send(std::span<const iovec> frame) override {
    if (wire_.full) {
      return Io::would_block;
    }
    net::Header header;
    fuzz::require(gather(frame, 0, writable_bytes_of(header)) == sizeof header);
    const size_t bytes = iov_bytes(frame) - sizeof header;
    fuzz::require(bytes >= kMinFrame && bytes <= kMaxFrame);
    fuzz::require(header.flags == 0 || size_t{header.csum_start} + header.csum_offset + 2 <= bytes);
    fuzz::require(header.header_length <= bytes);
    return Io::done;
  }
  Io receive(std::span<const iovec> into, size_t& bytes) override {
    if (wire_.incoming.empty()) {
      return Io::would_block;
    }
    static const std::vector<std::byte> pattern(kVnetHeader + kMaxFrame, std::byte{0x5A});
    bytes = wire_.incoming.front();
    wire_.incoming.pop_front();
    scatter(into, 0, std::span(pattern).first(bytes));
    return Io::done;
  }
  Result<void> set_offloads(uint32_t) override { return {}; }

 private:
  Wire& wire_;
  EventFd event_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::quiet();
  Wire wire;
  fuzz::Harness harness(
      [&](const StateReader* saved) {
        VirtioNet::Options options;
        options.id = "net0";
        options.mac = {2, 0, 0, 0, 0, 1};
        options.port.capabilities = {
            .vnet_header = true, .checksum = true, .tso = true, .uso = true, .queue_pairs = 2, .mtu = 9000};
        options.port.queues.push_back(std::make_unique<Backend>(wire));
        options.port.queues.push_back(std::make_unique<Backend>(wire));
        return fuzz::created(VirtioNet::create(std::move(options), saved));
      },
      "net0",
      [&](VirtioDevice& device, fuzz::Input& in) {
        const auto what = in.take<uint8_t>();
        auto& nic = static_cast<VirtioNet&>(device);
        if (what < 200) {
          wire.incoming.push_back(std::min<size_t>(in.take<uint16_t>() + kVnetHeader, kVnetHeader + kMaxFrame));
        } else if (what < 220) {
          wire.full = !wire.full;
        } else {
          nic.set_link((what & 1) != 0);
          nic.announce();
        }
      });
  harness.run(fuzz::Input(data, size));
  return 0;
}
