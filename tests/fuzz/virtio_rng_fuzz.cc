// A hostile driver against virtio-rng.
#include "devices/virtio/rng/device.h"
#include "tests/fuzz/common/virtio_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  fuzz::quiet();
  const bool limited = size % 2 == 1;
  fuzz::Harness harness(
      [&](const StateReader* saved) {
        VirtioRng::Options options;
        options.id = "rng0";
        options.max_bytes = limited ? 100 : 0;
        options.period = std::chrono::milliseconds(1);
        return fuzz::created(VirtioRng::create(options, saved));
      },
      "rng0", [](VirtioDevice&, fuzz::Input&) {});
  harness.run(fuzz::Input(data, size));
  return 0;
}
