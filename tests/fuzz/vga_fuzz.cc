// The VGA: accesses of any size to all its ports, windows and BARs, looked at and saved and restored in between; also
// created from any state.
#include "devices/display/vga/device.h"
#include "devices/display/vga/memory_state.h"
#include "tests/fuzz/common/test_devices.h"

namespace {

using namespace lodge;

constexpr uint32_t kMemory = 1U << 20;
constexpr uint64_t kFrame = 0xC000'0000;
constexpr uint64_t kRegisters = 0xC100'0000;

Result<std::shared_ptr<VgaDisplay>> create(const StateReader* saved) {
  return VgaDisplay::create({.id = "video0", .memory = kMemory, .map = {}, .bring_writes = {}}, *fuzz::machine().env, saved);
}

void look(VgaDisplay& display, Image& image) {
  (void)display.refresh(image);
  fuzz::require(image.pixels.size() == size_t{image.width} * image.height);
  fuzz::require(image.width > 0 && image.width <= 2560 && image.height > 0 && image.height <= 2048);
}

template <class T, size_t N>
void fill(fuzz::Input& in, std::array<T, N>& values) {
  std::ranges::copy(in.bytes(sizeof values), std::as_writable_bytes(std::span(values)).begin());
}

// A hostile saved state.
void from_state(fuzz::Input& in) {
  VgaState state;
  state.misc = in.take<uint8_t>();
  state.sequencer_index = in.take<uint8_t>();
  state.graphics_index = in.take<uint8_t>();
  state.crtc_index = in.take<uint8_t>();
  state.attribute_index = in.take<uint8_t>();
  state.attribute_data_next = in.take<uint8_t>();
  state.dac_read_index = in.take<uint8_t>();
  state.dac_write_index = in.take<uint8_t>();
  state.dac_part = in.take<uint8_t>();
  state.vbe_index = in.take<uint16_t>();
  fill(in, state.sequencer);
  fill(in, state.graphics);
  fill(in, state.crtc);
  fill(in, state.attribute);
  fill(in, state.vbe);
  StateWriter out;
  out.put("video0", state);
  out.put("video0", PciState{});
  out.put("video0/0", VideoPages{.pages = {in.take<uint32_t>()}, .words = std::vector<uint64_t>(in.take<uint8_t>() * 2)});
  const auto reader = StateReader::parse(out.bytes());
  if (const auto device = create(&*reader)) {
    Image image;
    look(**device, image);
    for (uint64_t port = 0x3B0; port < 0x3E0; ++port) {
      (void)fuzz::machine().in(port);
      fuzz::machine().out(port, port);
    }
    (void)fuzz::machine().in(0x1CF, 2);
    look(**device, image);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  if (in.take<uint8_t>() == 0xFF) {
    from_state(in);
    return 0;
  }
  auto display = test::must(create(nullptr));
  display->config_write(0x10, 4, kFrame);
  display->config_write(0x18, 4, kRegisters);
  display->config_write(0x04, 2, 3);
  Image image;
  int looks = 0;
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << (what & 3));
    const uint8_t port_width = std::min<uint8_t>(width, 4);
    switch (what >> 4) {
      case 0:
        if (++looks <= 4) {
          look(*display, image);
        }
        break;
      case 1:
        if (++looks <= 4) {
          const StateReader saved = fuzz::saved(*display);
          const StateBytes before = fuzz::bytes(*display);
          display.reset();
          display = test::must(create(&saved));
          fuzz::require(fuzz::bytes(*display) == before);
        }
        break;
      case 2: display->reset(); break;
      case 3: (void)machine.in(0x3B0 + in.take<uint8_t>() % 48, port_width); break;
      case 4: (void)machine.in(0x1CE + (what >> 2 & 3), port_width); break;
      case 5: (void)machine.read(0xA0000 + in.take<uint32_t>() % 0x20000, width); break;
      case 6: machine.write(0xA0000 + in.take<uint32_t>() % 0x20000, in.take<uint32_t>(), width); break;
      case 7: (void)machine.read(kRegisters + in.take<uint16_t>() % 4096, width); break;
      case 8: machine.write(kRegisters + in.take<uint16_t>() % 4096, in.take<uint32_t>(), width); break;
      case 9: machine.write(kFrame + in.take<uint32_t>() % kMemory, in.take<uint32_t>(), width); break;
      case 10: (void)machine.read(kFrame + in.take<uint32_t>() % kMemory, width); break;
      case 11:  // a Bochs register
        machine.out(0x1CE, in.take<uint8_t>() % 12, 2);
        machine.out(0x1CF, in.take<uint16_t>(), 2);
        break;
      default: machine.out(0x3B0 + in.take<uint8_t>() % 48, in.take<uint32_t>(), port_width); break;
    }
  }
  look(*display, image);
  return 0;
}
