// A hostile driver against the memory balloon.
#include "devices/virtio/balloon/device.h"
#include "tests/fuzz/common/virtio_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  fuzz::quiet();
  fuzz::Harness harness(
      [](const StateReader* saved) {
        VirtioBalloon::Options options;
        options.id = "balloon0";
        options.reporting = true;
        options.deflate_on_oom = true;
        return fuzz::created(VirtioBalloon::create(std::move(options), saved));
      },
      "balloon0",
      [](VirtioDevice& device, fuzz::Input& in) {
        auto& balloon = static_cast<VirtioBalloon&>(device);
        balloon.set_size(in.take<uint32_t>());
        balloon.set_stats_period(std::chrono::milliseconds(in.take<uint8_t>() % 3));
      });
  harness.run(fuzz::Input(data, size));
  return 0;
}
