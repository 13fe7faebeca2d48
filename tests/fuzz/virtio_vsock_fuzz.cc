// A hostile driver against virtio-vsock; the kernel's place is taken by one that checks what it is told.
#include "devices/virtio/vsock/device.h"
#include "tests/fuzz/common/virtio_harness.h"

namespace {

using namespace lodge;

class Server final : public VsockServer {
 public:
  [[nodiscard]] uint64_t features() const override { return ~uint64_t{0}; }
  Result<void> set_up(uint64_t, const GuestMemory&) override {
    fuzz::require(!running_);
    return {};
  }
  Result<void> set_ring(unsigned ring, const VhostRing& place, const GuestMemory&, int, int) override {
    fuzz::require(ring < 2 && !running_);
    next_[ring] = place.next;
    return {};
  }
  Result<void> run(bool on) override {
    fuzz::require(on != running_);
    running_ = on;
    return {};
  }
  Result<uint16_t> position(unsigned ring) override {
    fuzz::require(ring < 2 && !running_);
    return next_[ring];
  }

 private:
  bool running_ = false;
  uint16_t next_[2] = {};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::quiet();
  fuzz::Harness harness(
      [&](const StateReader* saved) {
        VirtioVsock::Options options;
        options.id = "vsock0";
        options.cid = size;
        options.vhost = std::make_unique<Server>();
        return fuzz::created(VirtioVsock::create(std::move(options), saved));
      },
      "vsock0", [](VirtioDevice&, fuzz::Input&) {});
  harness.run(fuzz::Input(data, size));
  return 0;
}
