// Keyboard controller, keyboard and mouse: any bytes at both ports, keys and steps from outside, saved and restored in
// between; also created from any state.
#include "devices/input/ps2/controller.h"
#include "tests/fuzz/common/test_devices.h"

namespace {

using namespace lodge;

Result<std::unique_ptr<I8042>> create(const StateReader* saved) { return I8042::create(*fuzz::machine().env, saved); }

std::vector<uint8_t> some(fuzz::Input& in) {
  std::vector<uint8_t> bytes(in.take<uint8_t>() * 2U);
  std::ranges::copy(in.bytes(bytes.size()), std::as_writable_bytes(std::span(bytes)).begin());
  return bytes;
}

// All that waits; what waits is bounded.
void drain() {
  for (int i = 0; (fuzz::machine().in(0x64) & 1) != 0; ++i) {
    (void)fuzz::machine().in(0x60);
    fuzz::require(i < 2000);
  }
}

// A hostile saved state.
void from_state(fuzz::Input& in) {
  I8042State controller;
  controller.command_byte = in.take<uint8_t>();
  controller.command = in.take<uint8_t>();
  controller.output_full = in.take<uint8_t>();
  controller.answers = some(in);
  Ps2KeyboardState keyboard;
  keyboard.scancode_set = in.take<uint8_t>();
  keyboard.command = in.take<uint8_t>();
  keyboard.out = some(in);
  Ps2MouseState mouse;
  mouse.type = in.take<uint8_t>();
  mouse.reporting = in.take<uint8_t>();
  mouse.command = in.take<uint8_t>();
  mouse.right = in.take<int32_t>();
  mouse.down = in.take<int32_t>();
  mouse.wheel = in.take<int32_t>();
  mouse.changed = true;
  mouse.out = some(in);
  StateWriter out;
  out.put("i8042", controller);
  out.put("i8042", keyboard);
  out.put("i8042", mouse);
  const auto reader = StateReader::parse(out.bytes());
  if (const auto device = create(&*reader)) {
    (*device)->key(30, true);
    (*device)->move(1, 1, 1, 1);
    fuzz::machine().out(0x60, in.take<uint8_t>());
    drain();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::TestMachine& machine = fuzz::machine();
  machine.power.clear();
  fuzz::Input in(data, size);
  if (in.take<uint8_t>() == 0xFF) {
    from_state(in);
    return 0;
  }
  auto device = test::must(create(nullptr));
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    switch (what & 7) {
      case 0: (void)machine.in(0x60); break;
      case 1: (void)machine.in(0x64); break;
      case 2: machine.out(0x64, in.take<uint8_t>()); break;
      case 3: device->key(in.take<uint16_t>() & 0x1FF, (what & 8) != 0); break;
      case 4: device->move(in.take<int32_t>() >> (what >> 3), in.take<int32_t>(), in.take<int8_t>(), what >> 3); break;
      case 5: {
        const StateReader saved = fuzz::saved(*device);
        const StateBytes before = fuzz::bytes(*device);
        device.reset();
        device = test::must(create(&saved));
        fuzz::require(fuzz::bytes(*device) == before);
        break;
      }
      case 6:
        machine.out(0x64, 0xD4);
        machine.out(0x60, in.take<uint8_t>());
        break;
      default: machine.out(0x60, in.take<uint8_t>()); break;
    }
    if ((what >> 3) == 31) {
      drain();
    }
  }
  device->reset();
  fuzz::require((machine.in(0x64) & 1) == 0);
  return 0;
}
