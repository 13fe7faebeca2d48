// A hostile driver against virtio-blk over a small image in memory.
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/raw.h"
#include "devices/virtio/blk/device.h"
#include "tests/fuzz/common/virtio_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  fuzz::quiet();
  const Fd image(::memfd_create("image", MFD_CLOEXEC));
  fuzz::require(image.valid() && ::ftruncate(image.get(), 64 * 1024) == 0);
  fuzz::Harness harness(
      [&](const StateReader* saved) {
        RawOptions raw;
        raw.fd = std::move(*image.duplicate());
        raw.discard = DiscardMode::unmap;
        raw.lock = false;
        VirtioBlk::Options options;
        options.id = "vda";
        options.backend = std::move(*open_raw(std::move(raw)));
        options.queues = 2;
        options.queue_size = 16;
        options.errors = {ErrorAction::stop, ErrorAction::stop};
        options.serial = "fuzz";
        return fuzz::created(VirtioBlk::create(std::move(options), saved));
      },
      "vda",
      [](VirtioDevice& device, fuzz::Input& in) {
        // Growing only: a restored device wants at least what the saved one had.
        static_cast<void>(static_cast<VirtioBlk&>(device).resize(64 * 1024 + in.take<uint8_t>() % 2 * 512));
      });
  harness.run(fuzz::Input(data, size));
  return 0;
}
