// A hostile driver against virtio-gpu, while somebody looks.
#include "devices/virtio/gpu/device.h"
#include "tests/fuzz/common/virtio_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  fuzz::quiet();
  Image image;
  fuzz::Harness harness(
      [&](const StateReader* saved) {
        return fuzz::created(VirtioGpu::create({.width = 64, .height = 64, .max_bytes = 256U << 10}, saved));
      },
      "video0",
      [&image](VirtioDevice& device, fuzz::Input& in) {
        auto& gpu = dynamic_cast<VirtioGpu&>(device);
        const auto what = in.take<uint8_t>();
        if (what % 8 == 0) {
          image = {};
        } else if (what % 8 == 1) {
          gpu.prefer_size(what * 20U, 1U << what % 15);
        }
        (void)gpu.refresh(image);
        fuzz::require(image.pixels.size() == size_t{image.width} * image.height);
      });
  harness.run(fuzz::Input(data, size));
  return 0;
}
