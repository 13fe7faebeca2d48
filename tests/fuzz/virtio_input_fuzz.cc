// A hostile driver against virtio keyboards, mice and tablets, while people type and move.
#include "devices/virtio/input/keyboard.h"
#include "devices/virtio/input/pointer.h"
#include "tests/fuzz/common/virtio_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  fuzz::quiet();
  const auto kind = static_cast<VirtioInputKind>(size % 3);
  fuzz::Harness harness(
      [&](const StateReader* saved) {
        return fuzz::created(VirtioInput::create({.id = "input0", .kind = kind, .serial = "S", .on_listening = {}}, saved));
      },
      "input0",
      [](VirtioDevice& device, fuzz::Input& in) {
        const auto buttons = in.take<uint8_t>();
        if (auto* keyboard = dynamic_cast<VirtioKeyboard*>(&device)) {
          keyboard->key(in.take<uint16_t>() % 300, buttons % 2 != 0);
        } else if (auto* mouse = dynamic_cast<VirtioMouse*>(&device)) {
          mouse->move(in.take<int32_t>(), in.take<int16_t>(), in.take<int8_t>(), buttons);
        } else if (auto* tablet = dynamic_cast<VirtioTablet*>(&device)) {
          tablet->place(in.take<uint16_t>(), in.take<uint16_t>(), in.take<int8_t>(), buttons);
        }
      });
  harness.run(fuzz::Input(data, size));
  return 0;
}
